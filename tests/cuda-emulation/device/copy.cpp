/* copy.cpp - asynchronous copies that have not landed, for each thread of the block. */
#include "block.h"

#include <ptx.cuh>

struct pending {
    gi8emu_copy copy;
    int group; /* how many groups the thread had closed before */
    gi8emu_site at;
};

/* Those of one thread, first in, first out. No memory from the heap: what one thread of a block
 * allocates and a thread of a later block frees is a race in the eyes of TSAN. */
struct queue {
    enum { MAX = 256 };
    pending copies[MAX];
    unsigned first, end; /* [first, end), each modulo MAX */

    bool empty() const {
        return first == end;
    }
    const pending &front() const {
        return copies[first % MAX];
    }
};

static queue under_way[gi8emu_max_threads];
static int last_used = -1; /* threads above have nothing under way */

void gi8emu_copy_begin() {
    for (int i = 0; i <= last_used; i++) {
        under_way[i].first = under_way[i].end;
    }
    last_used = -1;
}

void gi8emu_copy_start(gi8emu_copy copy, gi8emu_site at) {
    int self = gi8emu_running.current;
    queue &mine = under_way[self];
    if (mine.end - mine.first == queue::MAX) {
        gi8emu_fail(cudaErrorLaunchFailure, at, "%d asynchronous copies are under way already",
                    static_cast<int>(queue::MAX));
    }
    last_used = self > last_used ? self : last_used;
    mine.copies[mine.end++ % queue::MAX] = {copy, gi8emu_running.threads[self].groups_closed, at};
}

void gi8emu_copy_commit() {
    gi8emu_running.threads[gi8emu_running.current].groups_closed++;
}

/* A wait concerns groups that are closed: the youngest `groups` of them may be under way still. */
bool gi8emu_copy_land(int groups, gi8emu_copy *copy) {
    int self = gi8emu_running.current;
    queue &mine = under_way[self];
    if (mine.empty() || mine.front().group >= gi8emu_running.threads[self].groups_closed - groups) {
        return false;
    }
    *copy = mine.front().copy;
    mine.first++;
    return true;
}

void gi8emu_copy_end() {
    const queue &mine = under_way[gi8emu_running.current];
    if (!mine.empty()) {
        gi8emu_fail(cudaErrorLaunchFailure, mine.front().at,
                    "the thread ends while this asynchronous copy has not landed");
    }
}
