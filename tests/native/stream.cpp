// Streams: step by step is the whole, states stay in the caller's arrays, and a step asks for no memory.
#include <cstdlib>
#include <new>
#include <thread>

#include "layer.h"

namespace {
thread_local long asked = 0;  // how often this thread asked for memory; 0 where a sanitizer hands it out
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && defined(__GLIBC__)
extern "C" {
void* __libc_malloc(size_t);
void* __libc_memalign(size_t, size_t);
void* malloc(size_t n) { return ++asked, __libc_malloc(n); }
void* aligned_alloc(size_t to, size_t n) { return ++asked, __libc_memalign(to, n); }
}
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
void* operator new(size_t n) {
    ++asked;
    if (void* memory = std::malloc(n)) return memory;
    throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
#endif

namespace {

using namespace test;

// y of a stream that takes `n.T` steps, `at_once` at a time, and the states it leaves.
template <class T>
struct Streamed {
    std::vector<T> y;
    std::vector<std::vector<T>> states;
    long asked = 0;

    Streamed(const Body& body, const Given& g, int at_once) : y(poison<T>(size_t(g.n.T) * g.n.B * g.n.P)) {
        const Sizes& n = g.n;
        std::vector<std::vector<T>> weights;
        Call c;
        c.T = 1, c.B = n.B, c.I = n.I, c.H = n.H, c.P = n.P, c.D = 1;
        for (const Row& s : g.s0) states.push_back(as<T>(s));
        for (auto& s : states) c.s0.push_back(address(s)), c.finals.push_back(address(s));
        for (const Row& w : g.weights)
            weights.push_back(as<T>(w)), c.weights.push_back(address(weights.back()));
        const std::vector<T> x = as<T>(g.x);
        Stream* stream = body.stream[sizeof(T) == 8](g.plan, c);
        for (auto& w : weights)
            std::fill(w.begin(), w.end(), std::numeric_limits<T>::quiet_NaN());  // packed at once
        for (int t = 0; t < n.T; t += at_once) {
            const int steps = std::min(at_once, n.T - t);
            const long before = ::asked;
            stream->run(x.data() + size_t(t) * n.B * n.I, steps, n.B * n.I, n.I,
                        y.data() + size_t(t) * n.B * n.P);
            asked += ::asked - before;
        }
        delete stream;
    }
};

const Cell FORWARD[] = {LSTM_FORWARD,
                        {"rnn, forward alone", R"(
x_rows 0  h_rows 0  both 1  states 1  carry y0  main state0
forward
  gates . state0
  tanh y0 z0
)"},
                        {"gru, forward alone", R"(
x_rows 2 0 1  h_rows 0 1 2  both 2  states 1  slots 2 0  carry y0  main state0
forward
  gates . state0
  sigmoid slot0 z1
  fma slot0 z3 slot0 z0
  tanh slot0 slot0
  sigmoid slot1 z2
  fnma slot0 slot1 slot0 slot0
  fma y0 state0 slot1 slot0
)"},
                        {"projected, forward alone", R"(
x_rows 0 1 2 3  h_rows 0 1 2 3  both 4  states 2  project 1  slots 3 0  carry y0 next1  main state0
forward
  gates . state0
  sigmoid slot0 z1
  mul slot0 state1 slot0
  tanh slot1 z2
  sigmoid slot2 z0
  fma next1 slot2 slot1 slot0
  sigmoid slot0 z3
  tanh slot1 next1
  mul slot0 slot0 slot1
  product.0.p y0 slot0
)"}};

template <class T>
void streamed_is_whole(double close) {
    for (const Cell& cell : FORWARD)
        for (const int B : {1, 3, 4, 30}) {
            const Plan plan = plan_of(cell);
            const Given g = given(plan, {}, {21, B, 3, 19, plan.project ? 7 : 19, 1}, {});
            const Result whole = naive(g, false);
            for (const Set& set : sets())
                for (const int at_once : {1, 5, 21}) {
                    const Streamed<T> live(*set.body, g, at_once);
                    const std::string where =
                        std::string(cell.name) + ", " + set.name + ", B " + std::to_string(B);
                    near(test::back(live.y), whole.y, close, "y", where);
                    for (size_t k = 0; k < g.s0.size(); ++k)
                        near(test::back(live.states[k]), whole.finals[k], close, "state", where);
                    EXPECT(live.asked == 0, "%s: asked %ld times for memory", where.c_str(), live.asked);
                }
        }
}

// Streams made by different threads know nothing of each other.
void streams_apart() {
    const Given g = given(plan_of(LSTM_FORWARD), {}, {50, 1, 3, 19, 19, 1}, {});
    const Body& body = *sets().back().body;
    const std::vector<float> alone = Streamed<float>(body, g, 1).y;
    std::vector<float> together[3];
    std::vector<std::thread> threads;
    for (auto& y : together)
        threads.emplace_back([&] {
            for (int round = 0; round < 20; ++round) y = Streamed<float>(body, g, 1).y;
        });
    for (std::thread& t : threads) t.join();
    for (const auto& y : together) EXPECT(y == alone, "%zu numbers", y.size());
}

// Whole layers run from several threads of the caller at once, each in memory and a team of its own.
void layers_apart() {
    const Given g = given(plan_of(LSTM), {}, {6, 5, 3, 19, 19, 2}, {true});
    const Body& body = *sets().back().body;
    const Result alone = native<float>(body, g, true, {2});
    Result together[3];
    std::vector<std::thread> threads;
    for (Result& r : together)
        threads.emplace_back([&] {
            for (int round = 0; round < 20; ++round) r = native<float>(body, g, true, {2});
        });
    for (std::thread& t : threads) t.join();
    for (const Result& r : together) {
        EXPECT(r.y == alone.y && r.finals == alone.finals && r.dx == alone.dx, "%zu numbers", r.y.size());
        for (size_t k = 0; k < r.dweights.size(); ++k)
            near(r.dweights[k], alone.dweights[k], 1e-6, "dweight", "layers at once");
    }
}

}  // namespace

void test::all() {
    streamed_is_whole<float>(2e-5);
    streamed_is_whole<double>(1e-12);
    streams_apart();
    layers_apart();
}
