// What the core's tests share: a broken promise says where and with which numbers, and the test goes on.
#pragma once

#include <cstdint>
#include <cstdio>

namespace test {

inline int broken = 0;

// tests/native/main.cpp calls it; a file of tests defines it.
void all();

template <class... Numbers>
bool expect(bool holds, const char* file, int line, const char* promise, const char* form,
            Numbers... numbers) {
    if (holds) return true;
    if (++broken <= 20) {
        std::fprintf(stderr, "%s:%d: expected %s: ", file, line, promise);
        std::fprintf(stderr, form, numbers...);
        std::fputc('\n', stderr);
    }
    return false;
}

#define EXPECT(promise, ...) test::expect(bool(promise), __FILE__, __LINE__, #promise, __VA_ARGS__)

// Numbers that look random and are the same everywhere (splitmix64).
struct Dice {
    uint64_t state;
    uint64_t next() {
        uint64_t z = state += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }
    int below(int n) { return int(next() % uint64_t(n)); }
    double number() { return double(next() >> 11) / double(1ull << 52) - 1; }  // in [-1, 1)
};

}  // namespace test
