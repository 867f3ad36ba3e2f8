// The native core for Python: types and checks only, no arithmetic. Arrays come as addresses, which
// kernels/cpu/core.py takes from tensors that it has checked.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cctype>
#include <memory>
#include <numeric>
#include <stdexcept>

#include "crf.h"
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
    p.traced = nb::cast<int>(get("traced")), p.main = nb::cast<int>(get("main"));
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

// A call as Python makes it: its fields by name, and how wide a number is.
struct Arguments : Call {
    int width = 4;  // bytes
    bool wide() const { return width == 8; }
};

void make_call(Arguments* self, int width, int64_t T, int64_t B, int64_t I, int64_t H, int64_t P, int64_t D) {
    Arguments* c = new (self) Arguments();
    c->width = width, c->T = T, c->B = B, c->I = I, c->H = H, c->P = P, c->D = D;
}

// Throws where a call does not fit the plan, or a size may not be.
void check(const Plan& plan, const Arguments& c) {
    if (c.width != 4 && c.width != 8) throw std::invalid_argument("width: expected 4 or 8");
    const int64_t most = int64_t(1) << 31;
    for (int64_t n : {c.T, c.B})
        if (n < 0 || n >= most) throw std::invalid_argument("sizes: expected 0 to 2^31");
    for (int64_t n : {c.I, c.H, c.P, c.D})
        if (n < 1 || n > (1 << 20)) throw std::invalid_argument("sizes: expected 1 to 2^20");
    if (c.P > c.H || (c.P != c.H && !plan.project) || c.D > 2)
        throw std::invalid_argument("sizes: expected P <= H, D <= 2");
    const size_t states = size_t(plan.states), parameters = size_t(c.D * plan.parameters());
    if (c.s0.size() != states || c.weights.size() != parameters)
        throw std::invalid_argument("expected a tensor for each state and weight of the plan");
    if (c.bf16 && (!gated::bf16() || c.wide()))
        throw std::invalid_argument("bf16: expected float32 and a processor that has it");
}

void check_finals(const Arguments& c) {
    if (c.finals.size() != c.s0.size()) throw std::invalid_argument("expected a final state for each state");
}

void check_arrays(const Arguments& c) {
    if (c.T > 0 && c.B > 0 && (c.x == nullptr || c.y == nullptr))
        throw std::invalid_argument("expected x and y");
}

void check_gradients(const Plan& plan, const Arguments& c) {
    if (plan.backward.empty()) throw std::invalid_argument("plan: no backward program");
    if (c.dfinals.size() != c.s0.size() || c.ds0.size() != c.s0.size() ||
        c.dweights.size() != c.weights.size())
        throw std::invalid_argument("expected a gradient for each state and weight");
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

void forward(const Plan& plan, Arguments& c) {
    check(plan, c), check_finals(c), check_arrays(c);
    nb::gil_scoped_release release;
    const auto order = sorted(c);
    const size_t rows = size_t(c.T * c.B * c.D) * size_t(c.width);
    large_pages(c.y, rows * size_t(c.P)),
        large_pages(c.saved, rows * size_t(plan.saved * c.H + plan.scalars));
    body(c.bf16).forward[c.wide()](plan, c);
}

void backward(const Plan& plan, Arguments& c) {
    check(plan, c), check_arrays(c), check_gradients(plan, c);
    nb::gil_scoped_release release;
    const auto order = sorted(c);
    large_pages(c.dx, size_t(c.T * c.B * c.I) * size_t(c.width));
    body(c.bf16).backward[c.wide()](plan, c);
}

// A stack of layers that takes steps one after another. Arrays that it was given addresses of are the
// caller's to keep.
class Streams {
   public:
    Streams() = default;
    Streams(const Streams&) = delete;
    // The next layer: its plan, and a call with sizes, states, which it writes too, and weights. Outputs
    // (B, P) of every layer but the last go to memory of its own.
    void add(const Plan& plan, const Arguments& c) {
        check(plan, c), check_finals(c);
        if (!layers.empty() && (c.I != last || c.B != rows || c.wide() != wide))
            throw std::invalid_argument("expected a layer that takes what the one before gives");
        if (plan.saved > 0 || plan.scalars > 0)
            throw std::invalid_argument("plan: expected one that saves nothing, for there is nowhere to");
        if (c.D != 1 || c.lengths != nullptr || c.chunk != 0)
            throw std::invalid_argument("expected one direction, no lengths and no chunks");
        wide = c.wide(), rows = c.B, last = c.P;
        layers.emplace_back(body().stream[wide](plan, c));
        widths.push_back(c.P);
    }
    // x (steps, B, I) with strides, y (steps, B, P).
    void run(uintptr_t x, int64_t steps, int64_t xt, int64_t xb, uintptr_t y) {
        if (layers.empty() || steps < 0) throw std::invalid_argument("expected a layer and steps");
        const void* in = at<void>(x);
        for (size_t k = 0; k < layers.size(); ++k) {
            void* out = at<void>(y);
            if (k + 1 < layers.size()) {
                std::vector<double>& memory = between[k % 2];  // wide enough for either width
                const size_t need = size_t(steps * rows * widths[k]);
                if (memory.size() < need) memory.resize(need);
                out = memory.data();
            }
            layers[k]->run(in, steps, xt, xb, out);
            in = out, xt = rows * widths[k], xb = widths[k];
        }
    }

   private:
    std::vector<std::unique_ptr<Stream>> layers;
    std::vector<int64_t> widths;
    std::vector<double> between[2];
    int64_t rows = 0, last = 0;
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

// A chain of crf.h, from sizes and the addresses of scores, transitions, start, end and lengths.
Chain chain(const std::vector<int64_t>& sizes, const Addresses& a) {
    if (sizes.size() != 3 || a.size() != 5 || sizes[0] < 0 || sizes[1] < 0 || sizes[2] < 1)
        throw std::invalid_argument("chain: expected T, B, K and five addresses");
    const Chain c{sizes[0],         sizes[1],         sizes[2],         at<double>(a[0]),
                  at<double>(a[1]), at<double>(a[2]), at<double>(a[3]), at<int64_t>(a[4])};
    for (int64_t b = 0; b < c.B; ++b)
        if (c.lengths[b] < 0 || c.lengths[b] > c.T)
            throw std::invalid_argument("chain: expected lengths from 0 to T");
    return c;
}

// Fields of a call that hold an address, or a list of them, as whole numbers.
template <class T>
void address(nb::class_<Arguments>& c, const char* name, T* Call::* field) {
    c.def_prop_rw(
        name, [field](const Arguments& r) { return reinterpret_cast<uintptr_t>(r.*field); },
        [field](Arguments& r, uintptr_t a) { r.*field = at<T>(a); });
}

template <class T>
void addresses(nb::class_<Arguments>& c, const char* name, std::vector<T*> Call::* field) {
    c.def_prop_rw(
        name,
        [field](const Arguments& r) {
            Addresses all;
            for (const void* a : r.*field) all.push_back(reinterpret_cast<uintptr_t>(a));
            return all;
        },
        [field](Arguments& r, const Addresses& all) {
            (r.*field).clear();
            for (uintptr_t a : all) (r.*field).push_back(at<T>(a));
        });
}

std::string lower(std::string name) {
    for (char& letter : name) letter = char(std::tolower(static_cast<unsigned char>(letter)));
    return name;
}

// table.h, for kernels/cpu/plan.py.
void add_table(nb::module_& m) {
    nb::list kinds, ops, inplace, parameters;
    nb::dict limits;
#define KIND(name) kinds.append(#name);
#define OP(name, reads, in_place) \
    ops.append(lower(#name));     \
    if (in_place) inplace.append(lower(#name));
#define LIMIT(name, most) limits[#name] = most;
#define PARAMETER(name) parameters.append(lower(#name));
#include "table.h"
    m.attr("KINDS") = nb::tuple(kinds), m.attr("OPS") = nb::tuple(ops),
    m.attr("INPLACE") = nb::tuple(inplace);
    m.attr("LIMITS") = limits, m.attr("PARAMETERS") = nb::tuple(parameters);
    m.attr("EPSILON") = EPSILON;
}

}  // namespace

NB_MODULE(_native, m) {
    m.doc() = "The native core of gated.";
    m.def("available_isas", &available_isas, "Instruction sets this processor offers, weakest first.");
    m.def("isa", &isa, "Instruction set in use; GATED_ISA may lower it.");
    m.def("bf16", &bf16, "Whether this processor, with the set in use, multiplies bfloat16 numbers.");
    m.def("threads", &threads, "Whose threads run: 'openmp', those the process has, or 'pool', our own.");
    m.def("apply", &apply, "exp, sigmoid or tanh of n numbers, for tests.");
    add_table(m);
    m.def("crf_forward",
          [](const std::vector<int64_t>& sizes, const Addresses& a, uintptr_t alpha, uintptr_t log_z) {
              const Chain c = chain(sizes, a);
              nb::gil_scoped_release release;
              crf_forward(c, at<double>(alpha), at<double>(log_z));
          });
    m.def("crf_backward", [](const std::vector<int64_t>& sizes, const Addresses& a, uintptr_t alpha,
                             uintptr_t log_z, uintptr_t weight, const Addresses& d) {
        const Chain c = chain(sizes, a);
        if (d.size() != 4) throw std::invalid_argument("chain: expected the addresses of four gradients");
        nb::gil_scoped_release release;
        crf_backward(c, at<double>(alpha), at<double>(log_z), at<double>(weight), at<double>(d[0]),
                     at<double>(d[1]), at<double>(d[2]), at<double>(d[3]));
    });
    m.def("crf_best", [](const std::vector<int64_t>& sizes, const Addresses& a, int64_t N, uintptr_t tags,
                         uintptr_t score) {
        const Chain c = chain(sizes, a);
        if (N < 1 || N * c.K > INT32_MAX) throw std::invalid_argument("chain: expected N from 1 to 2^31 / K");
        nb::gil_scoped_release release;
        crf_best(c, N, at<int64_t>(tags), at<double>(score));
    });
    nb::class_<Arguments> call(m, "Call", "One call: sizes, addresses and strides, by the names of plan.h.");
    call.def("__init__", &make_call, nb::arg("width"), nb::arg("T"), nb::arg("B"), nb::arg("I"), nb::arg("H"),
             nb::arg("P"), nb::arg("D"));
    address(call, "x", &Call::x), address(call, "lengths", &Call::lengths),
        address(call, "seed", &Call::seed);
    call.def_rw("xt", &Arguments::xt).def_rw("xb", &Arguments::xb);
    addresses(call, "s0", &Call::s0), addresses(call, "weights", &Call::weights);
    address(call, "y", &Call::y), addresses(call, "finals", &Call::finals);
    address(call, "saved", &Call::saved), address(call, "bounds", &Call::bounds);
    call.def_rw("chunk", &Arguments::chunk).def_rw("bf16", &Arguments::bf16);
    call.def_prop_rw(
        "threads", [](const Arguments& r) { return r.threads; },
        [](Arguments& r, int threads) { r.threads = std::clamp(threads, 1, 1024); });
    address(call, "dy", &Call::dy), addresses(call, "dfinals", &Call::dfinals);
    address(call, "dsaved", &Call::dsaved), address(call, "dx", &Call::dx);
    call.def_rw("dxt", &Arguments::dxt).def_rw("dxb", &Arguments::dxb);
    addresses(call, "ds0", &Call::ds0), addresses(call, "dweights", &Call::dweights);
    address(call, "grad_trace", &Call::grad_trace);
    nb::class_<Plan>(m, "Plan", "A step program and its backward program, lowered and checked.")
        .def("__init__", [](Plan* self, const nb::dict& spec) { new (self) Plan(plan_of(spec)); })
        .def("forward", &forward)
        .def("backward", &backward);
    nb::class_<Streams>(m, "Streams", "Layers that take one step after another.")
        .def(nb::init<>())
        .def("add", &Streams::add)
        .def("run", &Streams::run);
}
