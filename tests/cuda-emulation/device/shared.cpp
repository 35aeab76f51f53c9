/* shared.cpp - the shared memory of a block. Each array has a room of its own and ends at a page
 * that may not be touched; what lies before it and the few bytes behind it that alignment needs are
 * looked at when the block has ended. */
#include "block.h"

#include <stdio.h>
#include <string.h>

#include <sys/mman.h>

#include <ptx.cuh>

static constexpr size_t page = 4096;
static constexpr size_t room_bytes = 232 * 1024; /* of each array: 227 KiB and more */
static constexpr size_t before_bytes = 256;      /* looked at before an array */
static constexpr int max_arrays = 32;
static constexpr unsigned char garbage[4] = {0xee, 0xff, 0xc0, 0xff}; /* NaN as float, half, bf16 */

struct array {
    const char *name;
    char *data; /* NULL: nobody has asked for it */
    size_t bytes, align;
    gi8emu_site at;
};

static char *rooms; /* max_arrays + 1 of them, a forbidden page before and after each */
static array arrays[max_arrays + 1]; /* the last: the dynamic one */
static int n_arrays;
static array *const dynamic = &arrays[max_arrays];
static size_t static_bytes, dynamic_bytes;

static char *room(int i) {
    return rooms + page + static_cast<size_t>(i) * (room_bytes + page);
}

static void fill(char *from, const char *end) {
    for (size_t i = 0; from < end; i++, from++) {
        *from = static_cast<char>(garbage[i % 4]);
    }
}

static bool is_filled(const char *from, const char *end) {
    for (size_t i = 0; from < end; i++, from++) {
        if (*from != static_cast<char>(garbage[i % 4])) {
            return false;
        }
    }
    return true;
}

bool gi8emu_shared_begin(size_t bytes) {
    if (rooms == nullptr) {
        size_t all = (max_arrays + 1) * (room_bytes + page) + page;
        void *map = mmap(nullptr, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                         0);
        if (map == MAP_FAILED) {
            return false;
        }
        rooms = static_cast<char *>(map);
        for (int i = 0; i <= max_arrays; i++) {
            if (mprotect(room(i), room_bytes, PROT_READ | PROT_WRITE) != 0) {
                munmap(map, all);
                rooms = nullptr;
                return false;
            }
        }
    }
    for (int i = 0; i < n_arrays; i++) {
        arrays[i].data = nullptr;
    }
    n_arrays = 0;
    dynamic->data = nullptr;
    static_bytes = 0;
    dynamic_bytes = bytes;
    return true;
}

#if GI8EMU_TSAN
extern "C" {
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);
}
#endif

/* For the race detector an array is new memory: what another block has done there is no race. Fresh
 * pages make it forget. */
static void forget(char *from, const char *end) {
#if GI8EMU_TSAN
    from -= reinterpret_cast<uintptr_t>(from) % page;
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
    mmap(from, static_cast<size_t>(end - from), PROT_READ | PROT_WRITE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
#else
    (void)from;
    (void)end;
#endif
}

/* Makes the array at the end of its room. */
static void make(array *made, const char *name, size_t bytes, size_t align, gi8emu_site at) {
    char *end = room(static_cast<int>(made - arrays)) + room_bytes;
    size_t taken = (bytes + align - 1) / align * align;
    *made = {name, end - taken, bytes, align, at};
    forget(made->data - before_bytes, end);
    fill(made->data, end);
    fill(made->data - before_bytes, made->data);
}

static void check_same(const array *made, size_t bytes, size_t align, gi8emu_site at) {
    if (made->bytes != bytes || made->align != align || made->at.line != at.line) {
        gi8emu_fail(cudaErrorLaunchFailure, at,
                    "asks for shared memory in another order than other threads: %zu bytes, they "
                    "%s of %zu bytes at line %d", bytes, made->name, made->bytes, made->at.line);
    }
}

/* Adds an array to the static ones. Fails where a compiler would refuse them, or a device what the
 * launch asks for beside them. */
static void add_static(const char *name, size_t bytes, size_t align, gi8emu_site at) {
    static_bytes = (static_bytes + align - 1) / align * align + bytes;
    size_t allowed = gi8emu_running.kernel->dynamic_allowed;
    if (static_bytes > gi8emu_shared_unasked) {
        gi8emu_fail(cudaErrorLaunchOutOfResources, at, "%s: %zu bytes of static shared memory, "
                    "compilers allow %zu", name, static_bytes, gi8emu_shared_unasked);
    }
    if (allowed == gi8emu_not_asked && static_bytes + dynamic_bytes > gi8emu_shared_unasked) {
        gi8emu_fail(cudaErrorInvalidValue, at, "%s: %zu bytes of static shared memory and %zu of "
                    "dynamic, without cudaFuncSetAttribute() at most %zu", name, static_bytes,
                    dynamic_bytes, gi8emu_shared_unasked);
    }
    if (allowed != gi8emu_not_asked && static_bytes + allowed > gi8emu_shared_limit()) {
        gi8emu_fail(cudaErrorInvalidValue, at, "%s: beside %zu bytes of static shared memory "
                    "cudaFuncSetAttribute() refuses %zu of dynamic (in all %zu)", name,
                    static_bytes, allowed, gi8emu_shared_limit());
    }
}

void *gi8emu_shared(const char *name, size_t bytes, size_t align, gi8emu_site at) {
    gi8emu_thread *self = &gi8emu_running.threads[gi8emu_running.current];
    size_t own_align = align;
    align = align < 16 ? 16 : align;
    if (self->shared_asked == max_arrays) {
        gi8emu_fail(cudaErrorLaunchFailure, at, "more than %d shared arrays", max_arrays);
    }
    array *asked = &arrays[self->shared_asked++];
    if (asked->data != nullptr) {
        check_same(asked, bytes, align, at);
        return asked->data;
    }
    add_static(name, bytes, own_align, at);
    n_arrays++;
    make(asked, name, bytes, align, at);
    return asked->data;
}

void *gi8emu_dynamic_shared(const char *name, size_t align, gi8emu_site at) {
    align = align < 16 ? 16 : align;
    if (dynamic->data == nullptr) {
        make(dynamic, name, dynamic_bytes, align, at);
    } else {
        check_same(dynamic, dynamic_bytes, align, at);
    }
    return dynamic->data;
}

static bool holds(const array *one, const char *address, size_t bytes) {
    return one->data != nullptr && address >= one->data &&
           address + bytes <= one->data + one->bytes;
}

void gi8emu_check_shared(const char *what, const void *address, size_t bytes, gi8emu_site at) {
    const char *byte = static_cast<const char *>(address);
    if (holds(dynamic, byte, bytes)) {
        return;
    }
    for (int i = 0; i < n_arrays; i++) {
        if (holds(&arrays[i], byte, bytes)) {
            return;
        }
    }
    const char *beside = gi8emu_shared_describe(address);
    gi8emu_fail(cudaErrorIllegalAddress, at, "%s of %zu bytes at %p, %s", what, bytes, address,
                beside != nullptr ? beside : "which is not shared memory of this block");
}

/* The message lives until the next call. */
const char *gi8emu_shared_describe(const void *address) {
    static char text[256];
    const char *byte = static_cast<const char *>(address);
    for (int i = 0; i <= max_arrays && rooms != nullptr; i++) {
        const array *one = &arrays[i];
        if (one->data != nullptr && byte >= room(i) - page / 2 &&
            byte < room(i) + room_bytes + page) {
            ptrdiff_t offset = byte < one->data ? one->data - byte
                                                : byte - (one->data + one->bytes);
            snprintf(text, sizeof text, "%td bytes %s shared array %s of %zu bytes (%s:%d)", offset,
                     byte < one->data ? "before" : "behind", one->name, one->bytes, one->at.file,
                     one->at.line);
            return text;
        }
    }
    return nullptr;
}

const char *gi8emu_shared_damage() {
    static char text[256];
    for (int i = 0; i <= max_arrays; i++) {
        const array *one = &arrays[i];
        if (one->data == nullptr) {
            continue;
        }
        const char *end = room(i) + room_bytes;
        bool before = !is_filled(one->data - before_bytes, one->data);
        /* garbage goes on from the array's own beginning */
        bool behind = false;
        for (const char *byte = one->data + one->bytes; byte < end; byte++) {
            behind = behind || *byte != static_cast<char>(garbage[(byte - one->data) % 4]);
        }
        if (before || behind) {
            snprintf(text, sizeof text, "somebody wrote %s shared array %s of %zu bytes (%s:%d)",
                     before ? "before" : "behind", one->name, one->bytes, one->at.file,
                     one->at.line);
            return text;
        }
    }
    return nullptr;
}

uint4 gi8emu_garbage() {
    uint32_t word;
    __builtin_memcpy(&word, garbage, sizeof word);
    return make_uint4(word, word, word, word);
}
