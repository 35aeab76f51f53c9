# aarch64-linux-gnu.cmake - toolchain file: 64-bit Arm Linux, built by Debian's cross compiler and
# run by qemu-user. Libraries come from GGML_INT8_SYSROOT, which `tools/test.sh aarch64` fills.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)

set(GGML_INT8_SYSROOT "${CMAKE_CURRENT_LIST_DIR}/../build-aarch64-sysroot" CACHE PATH
    "Debian's libraries for arm64, beside those of the cross compiler")
set(CMAKE_FIND_ROOT_PATH ${GGML_INT8_SYSROOT})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_LIBDIR} ${GGML_INT8_SYSROOT}/usr/lib/aarch64-linux-gnu/pkgconfig)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${GGML_INT8_SYSROOT})
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES GGML_INT8_SYSROOT)

set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L /usr/aarch64-linux-gnu)
