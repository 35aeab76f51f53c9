/* message.cpp - the message that tests look at, and the schedule with its seed. */
#include "block.h"

#include <mutex>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static std::mutex lock;
static char message[2048];
static bool schedule_known;
static gi8emu_schedule schedule;
static uint64_t seed, state;

const char *gi8emu_message() {
    return message;
}

void gi8emu_clear_message() {
    std::lock_guard<std::mutex> guard(lock);
    message[0] = '\0';
}

static void read_environment() {
    if (schedule_known) {
        return;
    }
    const char *name = getenv("GI8_EMU_SCHEDULE"), *number = getenv("GI8_TEST_SEED");
    seed = number != nullptr ? strtoull(number, nullptr, 0) : 1;
    schedule = name != nullptr && strcmp(name, "lifo") == 0     ? GI8EMU_LIFO
               : name != nullptr && strcmp(name, "random") == 0 ? GI8EMU_RANDOM
                                                                : GI8EMU_FIFO;
    state = seed;
    schedule_known = true;
}

gi8emu_schedule gi8emu_current_schedule() {
    read_environment();
    return schedule;
}

void gi8emu_set_schedule(gi8emu_schedule wanted, uint64_t wanted_seed) {
    schedule = wanted;
    seed = state = wanted_seed;
    schedule_known = true;
}

/* splitmix64 (Steele, Lea, Flood 2014) */
uint64_t gi8emu_random() {
    read_environment();
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

void gi8emu_report(const char *format, ...) {
    std::lock_guard<std::mutex> guard(lock);
    if (message[0] != '\0') {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    if (gi8emu_current_schedule() == GI8EMU_RANDOM && length >= 0 &&
        static_cast<size_t>(length) < sizeof message) {
        snprintf(message + length, sizeof message - static_cast<size_t>(length),
                 " (GI8_EMU_SCHEDULE=random GI8_TEST_SEED=%llu)",
                 static_cast<unsigned long long>(seed));
    }
}
