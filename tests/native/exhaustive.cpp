// The largest error of exp (x <= 0), sigmoid and tanh over every float32, for each instruction set, in units
// in the last place of the result rounded from float64. tanh is odd to the bit (checked), so x >= 0 stands
// for all.
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>

#include "layer.h"

namespace {

using namespace test;

constexpr int BLOCK = 1 << 14;
const char* const NAMES[3] = {"exp", "sigmoid", "tanh"};
const int CODES[3] = {OPS, SIGMOID, TANH};

struct Worst {
    double places = 0;
    float at = 0;
};

float number(uint32_t bits) {
    float x;
    std::memcpy(&x, &bits, 4);
    return x;
}

double wanted(int function, double x) {
    if (function == 2) return std::tanh(x);
    const double e = std::exp(-std::fabs(x));
    return function == 0 ? e : x < 0 ? e / (1 + e) : 1 / (1 + e);
}

// How far the next float32 is from `wanted`, rounded.
double place(double wanted) {
    const float size = float(std::fabs(wanted));
    uint32_t bits;
    std::memcpy(&bits, &size, 4);
    return double(number(bits + 1)) - size;
}

}  // namespace

int main(int count, char** words) {
    const uint64_t stride = count > 1 ? std::strtoull(words[1], nullptr, 10) : 1;  // every `stride`-th number
    const std::vector<Set> all = sets();
    std::vector<Worst> worst(3 * all.size());
    std::atomic<uint64_t> next{0};
    std::atomic<long> special{0};
    std::mutex lock;
    const uint64_t step = BLOCK * stride, total = 3 * ((uint64_t(1) << 32) / step);
    const auto work = [&] {
        std::vector<Worst> mine(worst.size());
        std::vector<float> x(BLOCK), y(BLOCK), minus(BLOCK), turned(BLOCK);
        std::vector<double> exact(BLOCK), unit(BLOCK);
        for (uint64_t job; (job = next++) < total;) {
            const int function = int(job / (total / 3));
            const uint32_t from = uint32_t(job % (total / 3) * step);
            const bool negative = from >> 31;
            if (function == 0 ? !negative : function == 2 && negative) continue;
            for (int j = 0; j < BLOCK; ++j) {
                x[j] = number(uint32_t(from + uint64_t(j) * stride));
                minus[j] = -x[j];
                exact[j] = wanted(function, x[j]), unit[j] = 1 / place(exact[j]);
            }
            for (size_t s = 0; s < all.size(); ++s) {
                all[s].body->apply_float(CODES[function], x.data(), y.data(), BLOCK);
                if (function == 2) all[s].body->apply_float(TANH, minus.data(), turned.data(), BLOCK);
                Worst& w = mine[3 * s + size_t(function)];
                for (int j = 0; j < BLOCK; ++j) {
                    if (std::isnan(x[j])) {
                        special += !std::isnan(y[j]);
                        continue;
                    }
                    if (function == 2 && turned[j] != -y[j]) ++special;
                    const double error = std::fabs(y[j] - exact[j]) * unit[j];
                    if (!(error <= w.places)) w = {error, x[j]};
                }
            }
        }
        const std::lock_guard<std::mutex> hold(lock);
        for (size_t k = 0; k < worst.size(); ++k)
            if (!(mine[k].places <= worst[k].places)) worst[k] = mine[k];
    };
    std::thread other(work);
    work();
    other.join();
    std::printf("%-8s", "");
    for (const char* name : NAMES) std::printf("  %8s %-16s", name, "at");
    for (size_t s = 0; s < all.size(); ++s) {
        std::printf("\n%-8s", all[s].name.c_str());
        for (int f = 0; f < 3; ++f)
            std::printf("  %8.4f %-16.9g", worst[3 * s + f].places, double(worst[3 * s + f].at));
    }
    std::printf("\nNaN that did not stay, or tanh(-x) other than -tanh(x): %ld\n", special.load());
    return special.load() != 0;
}
