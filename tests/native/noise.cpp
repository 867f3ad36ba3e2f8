// Philox4x32-10 against the published answers (Random123, kat_vectors), masks against a slow reading.
#include "../../native/noise.h"

#include <vector>

#include "naive.h"
#include "target.h"

namespace {

using test::Dice;
using test::hit;
using test::philox_word;

void published() {
    const struct {
        uint32_t counter[4], key[2], words[4];
    } known[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (const auto& k : known) {
        for (int w = 0; w < 4; ++w)
            EXPECT(philox_word(k.counter, k.key, w) == k.words[w], "word %d, got %08x", w,
                   philox_word(k.counter, k.key, w));
        uint32_t words[4][16];  // the counter that ends a group, or lies within it
        gated::GATED_TARGET::philox(words, uint64_t(k.key[1]) << 32 | k.key[0], k.counter[0] / 16,
                                    k.counter[1], k.counter[2], k.counter[3]);
        for (int w = 0; w < 4; ++w)
            EXPECT(words[w][k.counter[0] % 16] == k.words[w], "word %d, got %08x", w,
                   words[w][k.counter[0] % 16]);
    }
}

template <class T>
void masks() {
    Dice dice{7};
    for (int round = 0; round < 200; ++round) {
        const int first = dice.below(150), n = 1 + dice.below(200), b = dice.below(1000);
        const uint32_t t = uint32_t(dice.next()), stream = uint32_t(dice.below(256));
        const int64_t seed = int64_t(dice.next());
        const double rate = (dice.number() + 1) / 2;
        std::vector<T> to(size_t(n), T(9));
        gated::GATED_TARGET::noise<T>(to.data(), first, n, rate, T(2), T(3), uint64_t(seed), uint32_t(b), t,
                                      stream);
        for (int j = 0; j < n; ++j)
            EXPECT(to[j] == (hit(rate, seed, b, t, stream, first + j) ? 2 : 3), "unit %d of rate %g",
                   first + j, rate);
    }
    std::vector<T> to(1000);
    for (double rate : {0., 1.}) {
        gated::GATED_TARGET::noise<T>(to.data(), 0, 1000, rate, T(1), T(0), 5, 0, 0, 0);
        for (T v : to) EXPECT(v == T(rate), "rate %g, got %g", rate, double(v));
    }
    std::vector<T> many(1 << 16);
    gated::GATED_TARGET::noise<T>(many.data(), 0, int(many.size()), .25, T(1), T(0), 5, 0, 0, 0);
    double hits = 0;
    for (T v : many) hits += v;
    EXPECT(std::fabs(hits / double(many.size()) - .25) < .008, "a quarter, got %g",
           hits / double(many.size()));
}

}  // namespace

void target::noise() {
    published();
    masks<float>();
    masks<double>();
}
