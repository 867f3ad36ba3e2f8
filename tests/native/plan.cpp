// Plans may come from a file: one that reaches outside what it declares is refused, and one that is accepted
// touches nothing but the memory of its call (seen by the address sanitizer).
#include "layer.h"

namespace {

using namespace test;

bool refused(const Plan& plan) {
    try {
        plan.check();
    } catch (const std::invalid_argument&) {
        return true;
    }
    return false;
}

void every_cell_is_accepted() {
    for (const Cell& cell : CELLS) EXPECT(!refused(plan_of(cell)), "%s", cell.name);
}

template <class Change>
void refuse(const Cell& cell, const char* what, Change change) {
    Plan plan = plan_of(cell);
    change(plan);
    EXPECT(refused(plan), "%s with %s", cell.name, what);
}

void what_reaches_outside_is_refused() {
    const auto add = [](const char* line, bool back = false) {
        return [line, back](Plan& p) {
            auto& program = back ? p.backward : p.forward;
            program.insert(program.begin() + 1, instruction(line));
        };
    };
    refuse(LSTM, "a slot too many", add("copy slot2 z0"));
    refuse(LSTM, "a saved column too many", add("copy saved6 z0"));
    refuse(LSTM, "a block too many", add("copy slot0 z4"));
    refuse(LSTM, "a state too many", add("copy slot0 state2"));
    refuse(LSTM, "a vector that is not there", add("mul slot0 vector0 z0"));
    refuse(LSTM, "a constant that is not there", add("mul slot0 const0 z0"));
    refuse(LSTM, "a write to an old state", add("copy state1 z0"));
    refuse(LSTM, "a gradient in the forward program", add("copy slot0 dstate0"));
    refuse(LSTM, "a second product of h", add("gates . state0"));
    refuse(LSTM, "a matrix that is not there", add("product.0 slot0 z0"));
    refuse(LSTM, "a norm's scalar that is not there", add("norm slot0 z0 . scalar0"));
    refuse(LSTM, "a traced column that is not there", add("copy dtrace0 dstate0", true));
    refuse(LSTM, "a write to y in the backward program", add("copy y0 dstate0", true));
    refuse(PEEPHOLE, "a sum into no vector", add("acc dvector3 dstate0", true));
    refuse(PEEPHOLE, "a sum into a slot", add("acc slot0 dstate0", true));
    refuse(PEEPHOLE, "arithmetic on a gradient of vectors", add("copy dvector0 dstate0", true));
    refuse(NORMED, "a scalar as a row", add("copy slot0 scalar0"));
    refuse(NORMED, "a norm's gradient without its scalar", add("dnorm slot0 slot0 saved0 slot0", true));
    refuse(PROJECTED, "a transposed product in the forward program", add("dproduct.0 slot0 state0"));
    refuse(PROJECTED, "a narrow row read wide", add("copy slot0 state0"));
    refuse(PROJECTED, "a narrow row written wide", add("copy y0 slot0"));
    refuse(PROJECTED, "a narrow row mapped as a wide one", add("product.0.p slot0 state0"));
    refuse(PROJECTED, "a narrow noise written wide", [](Plan& p) {
        p.constants = {.5};
        p.forward.push_back(instruction("noise.0 y0 . const0"));
    });
    refuse(PROJECTED, "a narrow row as what project met",
           [](Plan& p) { p.outer[0].input = operand("state0"); });
    refuse(ZONED, "a rate above 1", [](Plan& p) { p.constants[1] = 1e30; });
    refuse(ZONED, "a rate that is no number", [](Plan& p) { p.constants[1] = std::nan(""); });
    refuse(LSTM, "rows of another layer", [](Plan& p) { p.x_rows[0] = 4; });
    refuse(LSTM, "the same rows twice", [](Plan& p) { p.x_rows[0] = 1; });
    refuse(LSTM, "no state", [](Plan& p) { p.states = 0; });
    refuse(LSTM, "more blocks than there are", [](Plan& p) { p.both = 5; });
    refuse(LSTM, "h left elsewhere", [](Plan& p) { p.carry[0] = operand("saved0"); });
    refuse(LSTM, "c left in another state", [](Plan& p) { p.carry[1] = operand("next0"); });
    refuse(LSTM, "an outer product with no matrix",
           [](Plan& p) { p.outer.push_back({0, operand("saved0"), operand("extra0")}); });
    refuse(LSTM, "many slots", [](Plan& p) { p.slots[0] = 1 << 20; });
    refuse(LSTM, "a negative operand", [](Plan& p) { p.forward[1].a = -1; });
    refuse(LSTM, "an operand past all kinds", [](Plan& p) { p.forward[1].a = 1 << 30; });
    refuse(LSTM, "an operation past all", [](Plan& p) { p.forward[1].op = OPS; });
    refuse(LSTM, "a negative operation", [](Plan& p) { p.forward[1].op = -1; });
}

// A number like those in plans, or like those in no plan.
int odd(Dice& dice) {
    switch (dice.below(8)) {
        case 0:
            return int(dice.next());
        case 1:
            return dice.below(6) - 2;
        case 2:
            return dice.below(KINDS * 256);
        case 3:
            return 256 << dice.below(4) | dice.below(4);
        default:
            return dice.below(KINDS + 1) * 256 + dice.below(7);
    }
}

void damage(Plan& p, Dice& dice) {
    auto& program = dice.below(2) == 0 || p.backward.empty() ? p.forward : p.backward;
    Instruction& i = program[size_t(dice.below(int(program.size())))];
    switch (dice.below(16)) {
        case 0:
            i.op = dice.below(OPS + 2) - 1;
            return;
        case 1:
        case 2:
            i.d = odd(dice);
            return;
        case 3:
        case 4:
            i.a = odd(dice);
            return;
        case 5:
            i.b = odd(dice);
            return;
        case 6:
            i.c = odd(dice);
            return;
        case 7:
            i.imm = dice.below(2) == 0 ? i.imm ^ 1 : odd(dice);
            return;
        case 8:
            program.push_back({dice.below(OPS), odd(dice), odd(dice), odd(dice), odd(dice),
                               dice.below(4) | dice.below(2) << 8});
            return;
        case 9:
            program.erase(program.begin() + (&i - program.data()));
            return;
        case 10:
            std::swap(i, program[size_t(dice.below(int(program.size())))]);
            return;
        case 11:
            p.carry[size_t(dice.below(int(p.carry.size())))] = odd(dice);
            return;
        case 12:
            p.main = odd(dice);
            return;
        case 13: {
            int* counts[] = {&p.both,    &p.states, &p.h,      &p.vectors,  &p.saved,
                             &p.scalars, &p.extras, &p.traced, &p.slots[0], &p.slots[1]};
            int& count = *counts[dice.below(10)];
            count = dice.below(3) == 0 ? odd(dice) : count + dice.below(3) - 1;
            return;
        }
        case 14:
            if (dice.below(2) == 0 || p.outer.empty())
                p.outer.push_back({dice.below(3), odd(dice), odd(dice)});
            else
                p.outer.push_back(p.outer[0]);
            return;
        default:
            auto& rows = dice.below(2) == 0 ? p.x_rows : p.h_rows;
            if (dice.below(2) == 0)
                rows[size_t(dice.below(int(rows.size())))] = dice.below(6) - 1;
            else
                rows.push_back(int(rows.size()));
            p.project ^= dice.below(8) == 0, p.recur ^= dice.below(8) == 0;
    }
}

void what_is_accepted_touches_its_own_memory() {
    Dice dice{2024};
    const std::vector<Set> all = sets();
    int accepted = 0;
    for (int round = 0; round < 30000; ++round) {
        Plan plan = plan_of(CELLS[dice.below(int(sizeof CELLS / sizeof *CELLS))]);
        const bool wide = round % 256 == 0;  // large enough for threads to divide the units
        for (int k = 1 + dice.below(3); k > 0 && !plan.forward.empty(); --k) damage(plan, dice);
        if (plan.x_rows.size() > 8 || refused(plan)) continue;
        const int H = wide ? 130 : 1 + dice.below(20);
        const Sizes n{1 + dice.below(5),
                      1 + dice.below(3),
                      1 + dice.below(3),
                      H,
                      plan.project ? 1 + dice.below(H) : H,
                      wide ? 1 : 1 + dice.below(2)};
        const std::vector<int> seeds(plan.saved > 0, 0);
        const Given g = given(plan, seeds, n, {!wide && dice.below(2) == 0}, dice.next());
        const How how{wide ? 2 : 1 + dice.below(2), wide ? 0 : dice.below(4)};
        const Set& set = all[size_t(dice.below(int(all.size())))];
        const bool backward = !plan.backward.empty();
        dice.below(2) == 0 ? native<float>(*set.body, g, backward, how)
                           : native<double>(*set.body, g, backward, how);
        ++accepted;
    }
    EXPECT(accepted > 1000, "got %d", accepted);
}

}  // namespace

void test::all() {
    every_cell_is_accepted();
    what_reaches_outside_is_refused();
    what_is_accepted_touches_its_own_memory();
}
