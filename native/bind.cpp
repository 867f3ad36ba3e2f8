// Python's door to the native core: types and checks only, no arithmetic. Arrays come as addresses, which
// kernels/cpu.py takes from tensors that it has checked.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <stdexcept>

#include "dispatch.h"
#include "scratch.h"
#include "threads.h"

namespace nb = nanobind;
using namespace gated;

namespace {

using Addresses = std::vector<uintptr_t>;

template <class T>
T* at(uintptr_t address) {
    return reinterpret_cast<T*>(address);
}

Plan plan_of(const nb::dict& spec) {
    Plan p;
    const auto get = [&](const char* key) { return spec[key]; };
    p.x_rows = nb::cast<std::vector<int>>(get("x_rows")),
    p.h_rows = nb::cast<std::vector<int>>(get("h_rows"));
    p.both = nb::cast<int>(get("both")), p.states = nb::cast<int>(get("states")),
    p.h = nb::cast<int>(get("h"));
    p.project = nb::cast<bool>(get("project")), p.recur = nb::cast<bool>(get("recur"));
    p.vectors = nb::cast<int>(get("vectors")), p.saved = nb::cast<int>(get("saved"));
    p.scalars = nb::cast<int>(get("scalars")), p.extras = nb::cast<int>(get("extras"));
    p.watched = nb::cast<int>(get("watched")), p.main = nb::cast<int>(get("main"));
    const auto slots = nb::cast<std::vector<int>>(get("slots"));
    if (slots.size() != 2) throw std::invalid_argument("plan: expected two counts of slots");
    p.slots[0] = slots[0], p.slots[1] = slots[1];
    p.constants = nb::cast<std::vector<double>>(get("constants"));
    p.carry = nb::cast<std::vector<int>>(get("carry"));
    const auto program = [&](const char* key) {
        std::vector<Instruction> made;
        for (nb::handle item : get(key)) {
            const auto i = nb::cast<std::vector<int>>(item);
            if (i.size() != 6) throw std::invalid_argument("plan: expected (op, d, a, b, c, imm)");
            made.push_back({i[0], i[1], i[2], i[3], i[4], i[5]});
        }
        return made;
    };
    p.forward = program("forward"), p.backward = program("backward");
    for (nb::handle item : get("outer")) {
        const auto o = nb::cast<std::vector<int>>(item);
        if (o.size() != 3) throw std::invalid_argument("plan: expected (matrix, input, gradient)");
        p.outer.push_back({o[0], o[1], o[2]});
    }
    p.check();
    return p;
}

Call call_of(const Plan& plan, const nb::tuple& sizes, uintptr_t x, int64_t xt, int64_t xb,
             const Addresses& s0, const Addresses& weights, uintptr_t lengths, uintptr_t seed, uintptr_t y,
             uintptr_t saved, uintptr_t bounds, int64_t chunk, bool bf16, int threads) {
    Call c;
    c.T = nb::cast<int64_t>(sizes[1]), c.B = nb::cast<int64_t>(sizes[2]), c.I = nb::cast<int64_t>(sizes[3]);
    c.H = nb::cast<int64_t>(sizes[4]), c.P = nb::cast<int64_t>(sizes[5]), c.D = nb::cast<int64_t>(sizes[6]);
    const int64_t most = int64_t(1) << 31;
    for (int64_t n : {c.T, c.B})
        if (n < 0 || n >= most) throw std::invalid_argument("sizes: expected 0 to 2^31");
    for (int64_t n : {c.I, c.H, c.P, c.D})
        if (n < 1 || n > (1 << 20)) throw std::invalid_argument("sizes: expected 1 to 2^20");
    if (c.P > c.H || (c.P != c.H && !plan.project) || c.D > 2)
        throw std::invalid_argument("sizes: expected P <= H, D <= 2");
    if (s0.size() != size_t(plan.states) || weights.size() != size_t(c.D * plan.weights()))
        throw std::invalid_argument("expected a tensor for each state and weight of the plan");
    c.x = at<void>(x), c.xt = xt, c.xb = xb;
    for (uintptr_t a : s0) c.s0.push_back(at<void>(a));
    for (uintptr_t a : weights) c.weights.push_back(at<void>(a));
    c.lengths = at<int64_t>(lengths), c.seed = at<int64_t>(seed);
    c.y = at<void>(y), c.saved = at<void>(saved), c.bounds = at<void>(bounds);
    if (bf16 && (!gated::bf16() || nb::cast<int>(sizes[0]) != 4))
        throw std::invalid_argument("bf16: expected float32 and a processor that has it");
    c.chunk = chunk, c.bf16 = bf16, c.threads = std::clamp(threads, 1, 1024);
    return c;
}

// Sequences, longest first, where there are lengths; their bounds are checked, for they become addresses.
std::vector<int64_t> sorted(Call& c) {
    std::vector<int64_t> order;
    if (c.lengths == nullptr) return order;
    for (int64_t b = 0; b < c.B; ++b)
        if (c.lengths[b] < 0 || c.lengths[b] > c.T) throw std::invalid_argument("lengths: expected 0 to T");
    order.resize(size_t(c.B));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return c.lengths[a] > c.lengths[b]; });
    c.order = order.data();
    return order;
}

int which(const nb::tuple& sizes) {
    if (sizes.size() != 7) throw std::invalid_argument("sizes: expected (width, T, B, I, H, P, D)");
    const int width = nb::cast<int>(sizes[0]);
    if (width != 4 && width != 8) throw std::invalid_argument("width: expected 4 or 8");
    return width == 8;
}

void forward(const Plan& plan, const nb::tuple& sizes, uintptr_t x, int64_t xt, int64_t xb,
             const Addresses& s0, const Addresses& weights, uintptr_t lengths, uintptr_t seed, uintptr_t y,
             const Addresses& finals, uintptr_t saved, uintptr_t bounds, int64_t chunk, bool bf16,
             int threads) {
    const int width = which(sizes);
    Call c =
        call_of(plan, sizes, x, xt, xb, s0, weights, lengths, seed, y, saved, bounds, chunk, bf16, threads);
    if (finals.size() != s0.size()) throw std::invalid_argument("expected a final state for each state");
    for (uintptr_t a : finals) c.finals.push_back(at<void>(a));
    nb::gil_scoped_release release;
    const auto order = sorted(c);
    const size_t rows = size_t(c.T * c.B * c.D) * (width ? 8 : 4);
    large_pages(c.y, rows * size_t(c.P)),
        large_pages(c.saved, rows * size_t(plan.saved * c.H + plan.scalars));
    body(c.bf16).forward[width](plan, c);
}

void backward(const Plan& plan, const nb::tuple& sizes, uintptr_t x, int64_t xt, int64_t xb,
              const Addresses& s0, const Addresses& weights, uintptr_t lengths, uintptr_t seed, uintptr_t y,
              uintptr_t saved, uintptr_t bounds, int64_t chunk, bool bf16, int threads, uintptr_t dy,
              const Addresses& dfinals, uintptr_t dsaved, uintptr_t dx, int64_t dxt, int64_t dxb,
              const Addresses& ds0, const Addresses& dweights, uintptr_t watch) {
    const int width = which(sizes);
    Call c =
        call_of(plan, sizes, x, xt, xb, s0, weights, lengths, seed, y, saved, bounds, chunk, bf16, threads);
    if (plan.backward.empty()) throw std::invalid_argument("plan: no backward program");
    if (dfinals.size() != s0.size() || ds0.size() != s0.size() || dweights.size() != weights.size())
        throw std::invalid_argument("expected a gradient for each state and weight");
    c.dy = at<void>(dy), c.dsaved = at<void>(dsaved), c.dx = at<void>(dx), c.dxt = dxt, c.dxb = dxb;
    for (uintptr_t a : dfinals) c.dfinals.push_back(at<void>(a));
    for (uintptr_t a : ds0) c.ds0.push_back(at<void>(a));
    for (uintptr_t a : dweights) c.dweights.push_back(at<void>(a));
    c.watch = at<void>(watch);
    nb::gil_scoped_release release;
    const auto order = sorted(c);
    large_pages(c.dx, size_t(c.T * c.B * c.I) * (width ? 8 : 4));
    body(c.bf16).backward[width](plan, c);
}

// A stack of layers that takes steps one after another. Arrays that it was given addresses of are the
// caller's to keep.
class Streams {
   public:
    Streams() = default;
    Streams(const Streams&) = delete;
    // Each layer: its plan, (width, B, I, H, P), states, weights. Outputs (B, P) of every layer but the last
    // go to memory of its own.
    void add(const Plan& plan, int width, int64_t B, int64_t I, int64_t H, int64_t P, const Addresses& states,
             const Addresses& weights) {
        if (!layers.empty() && (I != last || B != rows || (width == 8) != wide))
            throw std::invalid_argument("expected a layer that takes what the one before gives");
        if (plan.saved > 0 || plan.scalars > 0)
            throw std::invalid_argument("plan: expected one that saves nothing, for there is nowhere to");
        Call c = call_of(plan, nb::make_tuple(width, 1, B, I, H, P, 1), 0, 0, 0, states, weights, 0, 0, 0, 0,
                         0, 0, false, 1);
        for (uintptr_t a : states) c.finals.push_back(at<void>(a));
        wide = which(nb::make_tuple(width, 1, B, I, H, P, 1)), rows = B, last = P;
        if (layers.empty()) first = I;
        layers.emplace_back(body().stream[wide](plan, c));
        widths.push_back(P);
    }
    // x (steps, B, I) with strides, y (steps, B, P).
    void run(uintptr_t x, int64_t steps, int64_t xt, int64_t xb, uintptr_t y) {
        if (layers.empty() || steps < 0) throw std::invalid_argument("expected a layer and steps");
        const void* in = at<void>(x);
        for (size_t k = 0; k < layers.size(); ++k) {
            void* out = at<void>(y);
            if (k + 1 < layers.size()) {
                std::vector<double>& room = between[k % 2];
                const size_t need = size_t(steps * rows * widths[k]);
                if (room.size() < need) room.resize(need);
                out = room.data();
            }
            layers[k]->run(in, steps, xt, xb, out);
            in = out, xt = rows * widths[k], xb = widths[k];
        }
    }
    // One step of float32 rows that lie one after another, as NumPy has them.
    void push(nb::ndarray<const float, nb::c_contig, nb::device::cpu> x, uintptr_t y) {
        if (wide || int64_t(x.size()) != rows * first)
            throw std::invalid_argument("expected float32 x (B, I)");
        run(reinterpret_cast<uintptr_t>(x.data()), 1, rows * first, first, y);
    }

   private:
    std::vector<std::unique_ptr<Stream>> layers;
    std::vector<int64_t> widths;
    std::vector<double> between[2];
    int64_t rows = 0, first = 0, last = 0;
    bool wide = false;
};

void apply(const std::string& name, int width, uintptr_t from, uintptr_t to, int64_t n) {
    const int op = name == "sigmoid" ? SIGMOID : name == "tanh" ? TANH : name == "exp" ? OPS : -1;
    if (op < 0) throw std::invalid_argument("expected sigmoid, tanh or exp (of x <= 0)");
    nb::gil_scoped_release release;
    if (width == 4)
        body().apply_float(op, at<float>(from), at<float>(to), n);
    else
        body().apply_double(op, at<double>(from), at<double>(to), n);
}

}  // namespace

NB_MODULE(_native, m) {
    m.doc() = "The native core of gated.";
    m.def("isa_found", &isa_found, "Instruction sets this processor offers, weakest first.");
    m.def("isa", &isa, "Instruction set in use; GATED_ISA may lower it.");
    m.def("bf16", &bf16, "Whether this processor, with the set in use, multiplies bfloat16 numbers.");
    m.def("threads", &threads, "Whose threads run: 'openmp', those the process has, or 'pool', our own.");
    m.def("apply", &apply, "exp, sigmoid or tanh of n numbers, for tests.");
    nb::class_<Plan>(m, "Plan", "A step program and its backward program, lowered and checked.")
        .def("__init__", [](Plan* self, const nb::dict& spec) { new (self) Plan(plan_of(spec)); })
        .def("forward", &forward)
        .def("backward", &backward);
    nb::class_<Streams>(m, "Streams", "Layers that take one step after another.")
        .def(nb::init<>())
        .def("add", &Streams::add)
        .def("run", &Streams::run)
        .def("push", &Streams::push, nb::arg("x").noconvert(), nb::arg("y"));
}
