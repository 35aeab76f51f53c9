# What `cmake --install` installs: libraries, public headers, programs, the bundled model, a CMake
# package (find_package(ggml-int8)) and pkg-config files.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(installed_targets gi8-build ggml-int8 ggml-int8-cpu)
if(GI8_HAVE_CUDA)
  list(APPEND installed_targets ggml-int8-cuda)
  install(FILES backends/cuda/include/gi8_cuda.h TYPE INCLUDE)
endif()
if(GGML_INT8_MODELS)
  list(APPEND installed_targets gptneox)
  install(FILES models/gptneox/gptneox.h models/gptneox/gptneox_tokenizer.h TYPE INCLUDE)
  get_property(programs DIRECTORY tools PROPERTY BUILDSYSTEM_TARGETS)
  install(TARGETS ${programs})
  install(DIRECTORY models/gptneox/demo/ DESTINATION ${CMAKE_INSTALL_DATADIR}/ggml-int8/gptneox-demo
    FILES_MATCHING PATTERN "*.json" PATTERN "*.safetensors")
endif()
# Folders of the source tree mean nothing to the package's users.
foreach(target IN LISTS installed_targets)
  get_target_property(folders ${target} INTERFACE_INCLUDE_DIRECTORIES)
  if(folders)
    set_target_properties(${target} PROPERTIES
      INTERFACE_INCLUDE_DIRECTORIES "$<BUILD_INTERFACE:${folders}>")
  endif()
endforeach()
install(TARGETS ${installed_targets} EXPORT ggml-int8-targets
  INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY ggml-int8/include/ggml-int8 TYPE INCLUDE
  FILES_MATCHING PATTERN "*.h" PATTERN "*.def" PATTERN "*_impl.h" EXCLUDE)
install(FILES backends/cpu/include/gi8_cpu.h TYPE INCLUDE)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/ggml-int8)
install(EXPORT ggml-int8-targets NAMESPACE ggml-int8:: DESTINATION ${package_dir})
configure_file(cmake/ggml-int8-config.cmake.in ggml-int8-config.cmake @ONLY)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/ggml-int8-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/ggml-int8-config.cmake
  ${PROJECT_BINARY_DIR}/ggml-int8-config-version.cmake DESTINATION ${package_dir})

# Relative to the .pc file, so that `cmake --install --prefix` and moved folders work.
file(RELATIVE_PATH prefix_from_pc ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(cmake/ggml-int8.pc.in ggml-int8.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/ggml-int8.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
if(GGML_INT8_MODELS)
  configure_file(cmake/gptneox.pc.in gptneox.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/gptneox.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endif()
