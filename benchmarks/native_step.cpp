// One streamed step of an LSTM in C++, float32, one row: nanoseconds, the median of 21 runs. RTNeural
// publishes 80, 320, 880 and 3200 ns at H = 4, 16, 32, 64 (I = 1) on a processor of its own.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>

#include "../tests/native/layer.h"

int main() {
    using namespace test;
    using clock = std::chrono::steady_clock;
    std::printf("%4s %4s", "H", "I");
    for (const Set& set : sets()) std::printf("  %8s", set.name.c_str());
    std::printf("  ns a step\n");
    for (const int I : {1, 32})
        for (const int H : {4, 8, 16, 32, 64}) {
            std::printf("%4d %4d", H, I);
            const Given g = given(plan_of(LSTM_FORWARD), {}, {1, 1, I, H, H, 1}, {});
            for (const Set& set : sets()) {
                Native<float> arrays(g, {});
                Call c = arrays.c;
                for (size_t k = 0; k < c.s0.size(); ++k) c.finals[k] = arrays.s0[k].data();
                const std::unique_ptr<Stream> stream(set.body->stream[0](g.plan, c));
                std::vector<double> times;
                for (int run = 0; run < 21; ++run) {
                    constexpr int steps = 4000;
                    const auto begin = clock::now();
                    for (int k = 0; k < steps; ++k) stream->run(arrays.x.data(), 1, I, I, arrays.y.data());
                    times.push_back(std::chrono::duration<double, std::nano>(clock::now() - begin).count() /
                                    steps);
                }
                std::nth_element(times.begin(), times.begin() + 10, times.end());
                std::printf("  %8.0f", times[10]);
            }
            std::printf("\n");
        }
}
