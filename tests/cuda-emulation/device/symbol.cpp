/* symbol.cpp - names of kernels. */
#include "block.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <stdio.h>

#include <map>

const char *gi8emu_symbol(const void *function) {
    static std::map<const void *, std::string> names;
    std::string &name = names[function];
    if (name.empty()) {
        char text[32];
        snprintf(text, sizeof text, "%p", function);
        name = text;
    }
    return name.c_str();
}
