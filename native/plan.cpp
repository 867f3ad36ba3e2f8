#include "plan.h"

#include <set>
#include <stdexcept>
#include <string>

namespace gated {
namespace {

[[noreturn]] void refuse(const std::string& what) { throw std::invalid_argument("plan: " + what); }

void within(const char* what, int n, int most) {
    if (n < 0 || n > most)
        refuse(std::string(what) + ": expected 0 to " + std::to_string(most) + ", got " + std::to_string(n));
}

constexpr int READS[] = {
#define OP(name, reads, inplace) reads,
#include "table.h"
};

}  // namespace

Plan::Plan() = default;
Plan::Plan(const Plan&) = default;
Plan::~Plan() = default;
Call::Call() = default;
Call::Call(const Call&) = default;
Call::~Call() = default;

bool Plan::unitwise() const {
    if (project || recur || kind(main) != STATE) return false;
    for (const auto& program : {forward, backward})
        for (const Instruction& i : program)
            if (i.op == NORM || i.op == DNORM || (i.op == GATES && i.a != STATE * 256 + h)) return false;
    return true;
}

void Plan::check() const {
    for (int pass = 0; pass < 2; ++pass) {
        const struct {
            int states, blocks, vectors, constants, slots, saved, scalars, extras, traced, outer,
                instructions;
        } n{states,
            blocks(),
            vectors,
            int(constants.size()),
            slots[pass],
            saved,
            scalars,
            extras,
            traced,
            int(outer.size()),
            int((pass == 0 ? forward : backward).size())};
#define LIMIT(name, most) within(#name, n.name, most);
#include "table.h"
    }
    within("both", both, x_blocks());
    if (both > h_blocks() || h_blocks() == 0) refuse("expected a gate that sees h");
    if (states < 1 || h < 0 || h >= states || int(carry.size()) != states)
        refuse("expected a state h and where each state is left");
    for (int row : x_rows)
        if (row < 0 || row >= x_blocks()) refuse("x_rows outside weight_ih");
    for (int row : h_rows)
        if (row < 0 || row >= h_blocks()) refuse("h_rows outside weight_hh");
    for (const auto& rows : {x_rows, h_rows})
        if (std::set<int>(rows.begin(), rows.end()).size() != rows.size()) refuse("rows of a weight twice");
    int sizes[2][KINDS] = {};  // how many operands of each kind a program may name
    for (int pass = 0; pass < 2; ++pass) {
        int* n = sizes[pass];
        n[NONE] = n[Y] = 1, n[SLOT] = slots[pass], n[Z] = blocks(), n[STATE] = states, n[SAVED] = saved;
        n[VECTOR] = vectors, n[CONST] = int(constants.size()), n[SCALAR] = scalars;
        if (pass == 0) n[NEXT] = states;
        if (pass == 1) n[DSTATE] = n[DPREV] = states, n[DSEED] = saved, n[EXTRA] = extras;
        if (pass == 1) n[DVECTOR] = vectors, n[DTRACE] = traced;
    }
    const auto inside = [&](int operand, int pass) {
        if (operand < 0 || kind(operand) >= KINDS || index(operand) >= sizes[pass][kind(operand)])
            refuse("operand " + std::to_string(operand) + " is not declared");
    };
    const auto writable = [](int operand, int pass) {
        const int k = kind(operand);
        return pass == 0 ? k == SLOT || k == Z || k == NEXT || k == SAVED || k == Y
                         : k == SLOT || k == Z || k == DPREV || k == EXTRA || k == DTRACE;
    };
    // With a projection h is a row of P numbers, fewer than H, in memory of the caller.
    const auto narrow = [&](int operand) {
        return project && (operand == STATE * 256 + h || kind(operand) == Y);
    };
    for (int pass = 0; pass < 2; ++pass) {
        int gates = 0;
        for (const Instruction& i : pass == 0 ? forward : backward) {
            if (i.op < 0 || i.op >= OPS) refuse("operation " + std::to_string(i.op) + " does not exist");
            for (int operand : {i.d, i.a, i.b, i.c}) inside(operand, pass);
            const bool sums = i.op == ACC || i.op == ACCMUL;
            if (i.op == GATES ? i.d != NONE : sums ? kind(i.d) != DVECTOR : !writable(i.d, pass))
                refuse("an instruction writes where it may not");
            const int reads = READS[i.op];
            const int given[3] = {i.a, i.b, i.c};
            for (int n = 0; n < 3; ++n) {
                const int k = kind(given[n]);
                const bool scalar = k == SCALAR && n == 2 && (i.op == NORM || i.op == DNORM);
                if ((n < reads && k == NONE) || (k == SCALAR && !scalar) || k == DVECTOR)
                    refuse("an instruction reads what it may not");
            }
            if (i.op == DNORM && kind(i.c) != SCALAR) refuse("DNORM without its scalar");
            if (i.op == NOISE && kind(i.b) != CONST) refuse("NOISE without its rate");
            if (i.op == NOISE && !(constants[index(i.b)] >= 0 && constants[index(i.b)] <= 1))
                refuse("NOISE at a rate outside 0 to 1");
            if (i.op == GATES) {
                const int k = kind(i.a);
                if (pass != 0 || (i.a != STATE * 256 + h && k != SLOT && k != SAVED))
                    refuse("GATES of something else than h");
            }
            if (i.op == DGATES && (pass != 1 || kind(i.d) == Z)) refuse("DGATES in the forward program");
            if (i.op == PRODUCT || i.op == DPRODUCT) {
                const int m = i.matrix();
                if (m < 0 || m > 1 || !has(m)) refuse("a product with a matrix that is not there");
                if (pass == 0 && i.op == DPRODUCT) refuse("DPRODUCT in the forward program");
                const bool narrows = (m == 0) == (i.op == PRODUCT);  // H in, P out
                if (narrows ? narrow(i.a) : narrow(i.d) || (i.op == DPRODUCT && narrow(i.b)))
                    refuse("a product of another width");
            } else if (i.op != GATES && i.op != DGATES && !i.narrow()) {
                bool fits = !narrow(i.d);
                for (int n = 0; n < reads; ++n) fits = fits && !narrow(given[n]);
                if (!fits) refuse("h has fewer numbers than the instruction");
            }
            gates += i.op == GATES || i.op == DGATES;
        }
        if (gates != (pass == 0 ? 1 : backward.empty() ? 0 : 1)) refuse("expected one product of h a step");
    }
    for (int k = 0; k < states; ++k) {
        inside(carry[k], 0);
        const int where = kind(carry[k]);
        if (k == h ? where != Y : where != SAVED && carry[k] != NEXT * 256 + k)
            refuse("a state is left where it may not");
    }
    for (const Outer& o : outer) {
        inside(o.input, 1), inside(o.gradient, 1);
        if (o.matrix < 0 || o.matrix > 1 || !has(o.matrix)) refuse("an outer product with no matrix");
        if ((kind(o.input) != SAVED && kind(o.input) != STATE) ||
            (kind(o.gradient) != EXTRA && kind(o.gradient) != Z))
            refuse("an outer product of temporaries");
        if (o.matrix == 0 && narrow(o.input)) refuse("an outer product of another width");
    }
    inside(main, 1);
    if (main != STATE * 256 + h && kind(main) != SAVED) refuse("main: expected h or a saved column");
}

}  // namespace gated
