/* threads.c - the thread pool.
 *
 * One word, the gate, says all about the job in progress:
 *
 *     sequence number (32 bits) | open (1) | caller waits (1) | workers inside (30)
 *
 * The caller writes the job, opens the gate, takes pieces like everybody else until none is left,
 * closes the gate and waits until no worker is inside. A worker enters by a compare-and-swap that
 * fails once the gate is closed, so a worker that the system did not schedule in time is not waited
 * for, and only a worker inside reads the job.
 */
#define _GNU_SOURCE
#include "threads.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "gi8_cpu.h"
#include "memory.h"

#define SPIN_NANOSECONDS 50000
#define GATE_OPEN (UINT64_C(1) << 31)
#define GATE_WAITS (UINT64_C(1) << 30)
#define GATE_INSIDE (GATE_WAITS - 1)
#define GATE_NEXT (UINT64_C(1) << 32)

typedef struct worker {
    /* The thread's share of the job in progress: pieces that nobody has taken begin here. Apart
     * from the shares of others: whoever takes a piece writes to it. */
    _Alignas(64) _Atomic int64_t next_piece;
    int64_t end_piece;

    struct gi8i_pool *pool;
    pthread_t thread;
    pthread_cond_t wake;
    int index;
    bool sleeping; /* under the pool's mutex */
} worker;

struct gi8i_pool {
    _Alignas(64) _Atomic uint64_t gate;
    /* The job: written while the gate is closed and nobody is inside. */
    _Alignas(64) gi8i_job_fn *fn;
    void *arg;
    int64_t n_items;
    int64_t grain;
    int n_shares;

    /* threads of the newest job: a worker beyond them sleeps on */
    _Alignas(64) _Atomic int n_wanted;
    _Atomic int n_sleeping;
    _Atomic bool stop;
    bool spin; /* false where there are more threads than cores */
    int n_threads;
    int n_started;
    pthread_mutex_t mutex;
    pthread_cond_t done;
    gi8_allocator allocator;
    size_t size;
    worker workers[]; /* [n_threads]; the first is the caller and no thread of the pool */
};

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Waits until (gate & mask) == value, or != value where `equal` is false. False: the time is up, or
 * this pool does not spin. */
static bool spin_on_gate(gi8i_pool *pool, uint64_t mask, uint64_t value, bool equal) {
    if (!pool->spin) {
        return false;
    }
    int64_t deadline = 0;
    for (;;) {
        for (int i = 0; i < 64; i++) {
            uint64_t gate = atomic_load_explicit(&pool->gate, memory_order_acquire);
            if (((gate & mask) == value) == equal) {
                return true;
            }
            relax();
        }
        int64_t now = now_ns();
        if (deadline == 0) {
            deadline = now + SPIN_NANOSECONDS;
        } else if (now >= deadline) {
            return false;
        }
    }
}

/* Takes the pieces of its own share from front to back, and then what others have left of theirs:
 * neighbours follow each other, and nobody waits for a thread that was held up. */
static void take_pieces(gi8i_pool *pool, int thread) {
    gi8i_job_fn *fn = pool->fn;
    void *arg = pool->arg;
    int64_t n_items = pool->n_items;
    int64_t grain = pool->grain;
    for (int i = 0; i < pool->n_shares; i++) {
        worker *share = &pool->workers[(thread + i) % pool->n_shares];
        for (;;) {
            int64_t piece = atomic_fetch_add_explicit(&share->next_piece, 1, memory_order_relaxed);
            if (piece >= share->end_piece) {
                break;
            }
            int64_t begin = piece * grain;
            fn(arg, begin, n_items - begin < grain ? n_items : begin + grain, thread);
        }
    }
}

/* Enters the job at the gate if it is still open; leaves when no piece is left. */
static void join_job(gi8i_pool *pool, int thread) {
    uint64_t gate = atomic_load_explicit(&pool->gate, memory_order_acquire);
    do {
        if ((gate & GATE_OPEN) == 0) {
            return;
        }
    } while (!atomic_compare_exchange_weak_explicit(&pool->gate, &gate, gate + 1,
                                                    memory_order_acq_rel, memory_order_acquire));
    take_pieces(pool, thread);
    gate = atomic_fetch_sub_explicit(&pool->gate, 1, memory_order_acq_rel);
    if ((gate & GATE_WAITS) != 0 && (gate & GATE_INSIDE) == 1) {
        pthread_mutex_lock(&pool->mutex);
        pthread_cond_signal(&pool->done);
        pthread_mutex_unlock(&pool->mutex);
    }
}

/* True while a worker has no reason to look at the gate's job. */
static bool nothing_to_do(gi8i_pool *pool, const worker *self, uint32_t seen) {
    uint32_t number = (uint32_t)(atomic_load(&pool->gate) >> 32);
    return (number == seen || atomic_load(&pool->n_wanted) <= self->index) &&
           !atomic_load(&pool->stop);
}

static void sleep_until_wanted(gi8i_pool *pool, worker *self, uint32_t seen) {
    pthread_mutex_lock(&pool->mutex);
    self->sleeping = true;
    atomic_fetch_add(&pool->n_sleeping, 1);
    /* The caller opens the gate before it looks at n_sleeping, and this thread counts itself before
     * it looks at the gate: one of the two sees the other. */
    while (self->sleeping && nothing_to_do(pool, self, seen)) {
        pthread_cond_wait(&self->wake, &pool->mutex);
    }
    if (self->sleeping) {
        self->sleeping = false;
        atomic_fetch_sub(&pool->n_sleeping, 1);
    }
    pthread_mutex_unlock(&pool->mutex);
}

static void *worker_main(void *arg) {
    worker *self = arg;
    gi8i_pool *pool = self->pool;
    uint32_t seen = 0;
    while (!atomic_load(&pool->stop)) {
        if (!spin_on_gate(pool, ~(GATE_NEXT - 1), (uint64_t)seen << 32, false)) {
            sleep_until_wanted(pool, self, seen);
        }
        seen = (uint32_t)(atomic_load_explicit(&pool->gate, memory_order_acquire) >> 32);
        if (atomic_load(&pool->n_wanted) > self->index) {
            join_job(pool, self->index);
        }
    }
    return NULL;
}

static void wake_workers(gi8i_pool *pool, int n_threads) {
    if (atomic_load(&pool->n_sleeping) == 0) {
        return;
    }
    pthread_mutex_lock(&pool->mutex);
    for (int i = 1; i < n_threads; i++) {
        worker *w = &pool->workers[i];
        if (w->sleeping) {
            w->sleeping = false;
            atomic_fetch_sub(&pool->n_sleeping, 1);
            pthread_cond_signal(&w->wake);
        }
    }
    pthread_mutex_unlock(&pool->mutex);
}

static void wait_until_empty(gi8i_pool *pool) {
    if (spin_on_gate(pool, GATE_INSIDE, 0, true)) {
        return;
    }
    pthread_mutex_lock(&pool->mutex);
    uint64_t gate = atomic_fetch_or(&pool->gate, GATE_WAITS);
    while ((gate & GATE_INSIDE) != 0) {
        pthread_cond_wait(&pool->done, &pool->mutex);
        gate = atomic_load(&pool->gate);
    }
    pthread_mutex_unlock(&pool->mutex);
}

void gi8i_pool_run(gi8i_pool *pool, int64_t n_items, int64_t grain, gi8i_job_fn *fn, void *arg) {
    assert(grain > 0);
    if (n_items <= 0) {
        return;
    }
    int64_t n_pieces = (n_items - 1) / grain + 1;
    int n_threads = n_pieces < pool->n_threads ? (int)n_pieces : pool->n_threads;
    if (n_threads == 1) {
        for (int64_t begin = 0; begin < n_items; begin += grain) {
            fn(arg, begin, n_items - begin < grain ? n_items : begin + grain, 0);
        }
        return;
    }
    pool->fn = fn;
    pool->arg = arg;
    pool->n_items = n_items;
    pool->grain = grain;
    pool->n_shares = n_threads;
    for (int i = 0; i < n_threads; i++) {
        worker *share = &pool->workers[i];
        int64_t each = n_pieces / n_threads;
        int64_t more = n_pieces % n_threads; /* so many shares have one piece more */
        int64_t first = each * i + (i < more ? i : more);
        atomic_store_explicit(&share->next_piece, first, memory_order_relaxed);
        share->end_piece = first + each + (i < more);
    }
    atomic_store(&pool->n_wanted, n_threads);
    uint64_t number = atomic_load_explicit(&pool->gate, memory_order_relaxed) >> 32;
    atomic_store(&pool->gate, (number + 1) << 32 | GATE_OPEN);
    wake_workers(pool, n_threads);
    take_pieces(pool, 0);
    atomic_fetch_and(&pool->gate, ~GATE_OPEN);
    wait_until_empty(pool);
}

int gi8i_pool_n_threads(const gi8i_pool *pool) {
    return pool->n_threads;
}

static gi8_status start_workers(gi8i_pool *pool, gi8_error *error) {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = 0;
    for (int i = 1; i < pool->n_threads; i++) {
        worker *w = &pool->workers[i];
        w->pool = pool;
        w->index = i;
        result = pthread_cond_init(&w->wake, NULL);
        if (result != 0) {
            break;
        }
        result = pthread_create(&w->thread, NULL, worker_main, w);
        if (result != 0) {
            pthread_cond_destroy(&w->wake);
            break;
        }
        pool->n_started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result != 0) {
        return gi8_error_set(error, GI8_ERR_DEVICE,
                             "thread pool: thread %d of %d could not be started: %s",
                             pool->n_started + 2, pool->n_threads, strerror(result));
    }
    return GI8_OK;
}

/* All of the pool's locks, or none. */
static gi8_status make_locks(gi8i_pool *pool, gi8_error *error) {
    int result = pthread_mutex_init(&pool->mutex, NULL);
    if (result == 0) {
        result = pthread_cond_init(&pool->done, NULL);
        if (result != 0) {
            pthread_mutex_destroy(&pool->mutex);
        }
    }
    if (result != 0) {
        return gi8_error_set(error, GI8_ERR_DEVICE, "thread pool: no lock could be made: %s",
                             strerror(result));
    }
    return GI8_OK;
}

gi8i_pool *gi8i_pool_create(int n_threads, const gi8_allocator *allocator, gi8_error *error) {
    size_t size = sizeof(gi8i_pool) + (size_t)n_threads * sizeof(worker);
    gi8i_pool *pool = gi8i_cpu_alloc(allocator, size);
    if (pool == NULL) {
        gi8_error_set(error, GI8_ERR_MEMORY, "thread pool: out of memory (%zu bytes)", size);
        return NULL;
    }
    memset(pool, 0, size);
    pool->allocator = *allocator;
    pool->size = size;
    pool->n_threads = n_threads;
    pool->spin = n_threads <= gi8_cpu_available_cores();
    if (make_locks(pool, error) != GI8_OK) {
        gi8i_cpu_free(allocator, pool, size);
        return NULL;
    }
    if (start_workers(pool, error) != GI8_OK) {
        gi8i_pool_free(pool);
        return NULL;
    }
    return pool;
}

void gi8i_pool_free(gi8i_pool *pool) {
    if (pool == NULL) {
        return;
    }
    pthread_mutex_lock(&pool->mutex);
    atomic_store(&pool->stop, true);
    for (int i = 1; i <= pool->n_started; i++) {
        pthread_cond_signal(&pool->workers[i].wake);
    }
    pthread_mutex_unlock(&pool->mutex);
    /* A spinning worker sees a new number, and then `stop`. */
    atomic_fetch_add(&pool->gate, GATE_NEXT);
    for (int i = 1; i <= pool->n_started; i++) {
        pthread_join(pool->workers[i].thread, NULL);
        pthread_cond_destroy(&pool->workers[i].wake);
    }
    pthread_cond_destroy(&pool->done);
    pthread_mutex_destroy(&pool->mutex);
    gi8_allocator allocator = pool->allocator;
    gi8i_cpu_free(&allocator, pool, pool->size);
}
