/* symbol.cpp - names of kernels, from the symbol table of the file that holds them: most are
 * static, so the dynamic linker does not know them. */
#include "block.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>

/* The symbol at `offset` (an address as the file has it) of an ELF file in memory, or "". */
static std::string find(const char *file, uint64_t offset) {
    const Elf64_Ehdr *header = reinterpret_cast<const Elf64_Ehdr *>(file);
    const Elf64_Shdr *sections = reinterpret_cast<const Elf64_Shdr *>(file + header->e_shoff);
    for (int i = 0; i < header->e_shnum; i++) {
        if (sections[i].sh_type != SHT_SYMTAB) {
            continue;
        }
        const char *names = file + sections[sections[i].sh_link].sh_offset;
        const Elf64_Sym *symbols =
            reinterpret_cast<const Elf64_Sym *>(file + sections[i].sh_offset);
        for (uint64_t k = 0; k < sections[i].sh_size / sizeof *symbols; k++) {
            if (symbols[k].st_value == offset && ELF64_ST_TYPE(symbols[k].st_info) == STT_FUNC) {
                return names + symbols[k].st_name;
            }
        }
    }
    return "";
}

/* Opens the file that the dynamic linker loaded at `base`, and looks there. */
static std::string find_in(const char *path, const void *base, const void *function) {
    int descriptor = open(strchr(path, '/') != nullptr ? path : "/proc/self/exe", O_RDONLY);
    struct stat status;
    if (descriptor < 0) {
        return "";
    }
    std::string name;
    if (fstat(descriptor, &status) == 0 && status.st_size > 0) {
        size_t bytes = static_cast<size_t>(status.st_size);
        void *map = mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, descriptor, 0);
        if (map != MAP_FAILED) {
            const char *file = static_cast<const char *>(map);
            uint64_t offset = reinterpret_cast<uint64_t>(function);
            if (reinterpret_cast<const Elf64_Ehdr *>(file)->e_type == ET_DYN) {
                offset -= reinterpret_cast<uint64_t>(base);
            }
            name = find(file, offset);
            munmap(map, bytes);
        }
    }
    close(descriptor);
    return name;
}

const char *gi8emu_symbol(const void *function) {
    static std::map<const void *, std::string> names;
    std::string &name = names[function];
    if (name.empty()) {
        Dl_info info;
        if (dladdr(function, &info) != 0) {
            name = find_in(info.dli_fname, info.dli_fbase, function);
        }
        int status = 0;
        char *plain = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status);
        if (status == 0 && plain != nullptr) {
            name = plain;
        }
        free(plain);
    }
    if (name.empty()) {
        char text[32];
        snprintf(text, sizeof text, "at %p", function);
        name = text;
    }
    return name.c_str();
}
