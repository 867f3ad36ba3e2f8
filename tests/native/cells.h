// Cells as plans, written as text: what is declared, then an instruction a line, `op d a b c`. After an
// operation `.p` means that it is P wide, and `.N` names its matrix or stream; noise.drop is one mask for all
// steps.
#pragma once

#include <algorithm>
#include <cctype>
#include <sstream>
#include <stdexcept>
#include <string>

#include "../../native/plan.h"

namespace test {

struct Cell {
    const char* name;
    const char* text;
};

inline const Cell RNN{"rnn", R"(
x_rows 0  h_rows 0  both 1  states 1  carry y0  main state0
forward
  gates . state0
  tanh y0 z0
backward
  dtanh z0 dstate0 y0
  dgates dprev0
)"};

inline const Cell LSTM{"lstm", R"(
x_rows 0 1 2 3  h_rows 0 1 2 3  both 4  states 2  saved 6  slots 1 1  carry y0 saved5  main state0
forward
  gates . state0
  sigmoid saved0 z0
  tanh saved1 z2
  sigmoid saved2 z1
  mul slot0 state1 saved2
  fma saved5 saved0 saved1 slot0
  sigmoid saved3 z3
  tanh saved4 saved5
  mul y0 saved3 saved4
backward
  dsigmoidmul z3 saved4 saved3 dstate0
  dtanhmul slot0 saved3 saved4 dstate0
  add slot0 dstate1 slot0
  mul dprev1 saved2 slot0
  dsigmoidmul z1 state1 saved2 slot0
  dtanhmul z2 saved0 saved1 slot0
  dsigmoidmul z0 saved1 saved0 slot0
  dgates dprev0
)"};

// Nothing is saved: for predictions and streams.
inline const Cell LSTM_FORWARD{"lstm, forward alone", R"(
x_rows 0 1 2 3  h_rows 0 1 2 3  both 4  states 2  slots 3 0  carry y0 next1  main state0
forward
  gates . state0
  sigmoid slot0 z1
  mul slot0 state1 slot0
  tanh slot1 z2
  sigmoid slot2 z0
  fma next1 slot2 slot1 slot0
  sigmoid slot0 z3
  tanh slot1 next1
  mul y0 slot0 slot1
)"};

// One block of z sees x alone, one h alone.
inline const Cell GRU{"gru, reset after", R"(
x_rows 2 0 1  h_rows 0 1 2  both 2  states 1  saved 4  slots 1 1  carry y0  main state0
forward
  gates . state0
  copy saved0 z3
  sigmoid saved1 z1
  sigmoid saved2 z2
  fma slot0 z3 saved1 z0
  tanh saved3 slot0
  fnma slot0 saved2 saved3 saved3
  fma y0 state0 saved2 slot0
backward
  fnma slot0 saved2 dstate0 dstate0
  dtanh z0 slot0 saved3
  mul z3 saved1 z0
  mul slot0 state0 dstate0
  fnma slot0 saved3 dstate0 slot0
  dsigmoid z2 slot0 saved2
  mul slot0 saved0 z0
  dsigmoid z1 slot0 saved1
  mul slot0 saved2 dstate0
  dgates dprev0 . slot0
)"};

// A map of its own, h to h, within the step.
inline const Cell GRU_BEFORE{"gru, reset before", R"(
x_rows 2 0 1  h_rows 0 1  both 2  states 1  recur 1  saved 4  slots 1 2  carry y0  main state0
outer 1 saved2 z0
forward
  gates . state0
  sigmoid saved0 z1
  sigmoid saved1 z2
  mul saved2 state0 saved0
  product.1 slot0 saved2
  add slot0 z0 slot0
  tanh saved3 slot0
  fnma slot0 saved1 saved3 saved3
  fma y0 state0 saved1 slot0
backward
  fnma slot0 saved1 dstate0 dstate0
  dtanh z0 slot0 saved3
  mul slot0 state0 dstate0
  fnma slot0 saved3 dstate0 slot0
  dsigmoid z2 slot0 saved1
  dproduct.1 slot0 z0
  mul slot1 state0 slot0
  dsigmoid z1 slot1 saved0
  mul slot1 saved1 dstate0
  fma slot0 saved0 slot0 slot1
  dgates dprev0 . slot0
)"};

// Vectors of its own, a column that the loss looks at, a gradient that the caller wants to see.
inline const Cell PEEPHOLE{"lstm with peepholes", R"(
x_rows 0 1 2 3  h_rows 0 1 2 3  both 4  states 2  vectors 3  saved 6  slots 1 2  traced 1  carry y0 saved0
main state0  seeds saved1
forward
  gates . state0
  fma slot0 state1 vector0 z0
  sigmoid saved1 slot0
  tanh saved2 z2
  fma slot0 state1 vector1 z1
  sigmoid saved3 slot0
  mul slot0 state1 saved3
  fma saved0 saved1 saved2 slot0
  fma slot0 vector2 saved0 z3
  sigmoid saved4 slot0
  tanh saved5 saved0
  mul y0 saved4 saved5
backward
  mul slot0 saved5 dstate0
  dsigmoid z3 slot0 saved4
  accmul dvector2 saved0 z3
  mul slot0 saved4 dstate0
  dtanh slot0 slot0 saved5
  add slot0 dstate1 slot0
  fma dtrace0 vector2 z3 slot0
  mul slot0 state1 dtrace0
  dsigmoid z1 slot0 saved3
  accmul dvector1 state1 z1
  mul slot0 saved1 dtrace0
  dtanh z2 slot0 saved2
  fma slot0 saved2 dtrace0 dseed1
  dsigmoid z0 slot0 saved1
  accmul dvector0 state1 z0
  dgates dprev0
  mul slot0 saved3 dtrace0
  fma slot0 vector1 z1 slot0
  fma dprev1 vector0 z0 slot0
)"};

inline const Cell PROJECTED{"lstm with projection", R"(
x_rows 0 1 2 3  h_rows 0 1 2 3  both 4  states 2  project 1  saved 7  slots 1 2  extras 1  carry y0 saved6
main state0  outer 0 saved5 extra0
forward
  gates . state0
  sigmoid saved0 z0
  tanh saved1 z2
  sigmoid saved2 z1
  mul slot0 state1 saved2
  fma saved6 saved0 saved1 slot0
  sigmoid saved3 z3
  tanh saved4 saved6
  mul saved5 saved3 saved4
  product.0.p y0 saved5
backward
  copy.p extra0 dstate0
  dproduct.0 slot0 dstate0
  mul slot1 saved4 slot0
  dsigmoid z3 slot1 saved3
  mul slot0 saved3 slot0
  dtanh slot0 slot0 saved4
  add slot0 dstate1 slot0
  mul dprev1 saved2 slot0
  mul slot1 state1 slot0
  dsigmoid z1 slot1 saved2
  mul slot1 saved0 slot0
  dtanh z2 slot1 saved1
  mul slot1 saved1 slot0
  dsigmoid z0 slot1 saved0
  dgates.p dprev0
)"};

inline const Cell NORMED{"rnn with layer norm", R"(
x_rows 0  h_rows 0  both 1  states 1  vectors 2  saved 1  scalars 1  slots 1 1  carry y0  main state0
forward
  gates . state0
  norm saved0 z0 . scalar0
  fma slot0 vector0 saved0 vector1
  tanh y0 slot0
backward
  dtanh slot0 dstate0 y0
  acc dvector1 slot0
  accmul dvector0 saved0 slot0
  mul slot0 vector0 slot0
  dnorm z0 slot0 saved0 scalar0
  dgates dprev0
)"};

// Zoneout of both states by masks drawn at every step, and one mask of what R multiplies.
inline const Cell ZONED{"lstm with zoneout and a drop mask", R"(
x_rows 0 1 2 3  h_rows 0 1 2 3  both 4  states 2  saved 7  slots 3 5  constants .3 .25 .5 1  carry y0 saved6
main saved0
forward
  noise.255.drop slot0 . const0
  mul saved0 state0 slot0
  gates . saved0
  sigmoid saved1 z0
  tanh saved2 z2
  sigmoid saved3 z1
  sigmoid saved4 z3
  mul slot0 state1 saved3
  fma slot0 saved1 saved2 slot0
  tanh saved5 slot0
  mul slot1 saved4 saved5
  noise.0 slot2 . const1
  fnma slot1 slot2 slot1 slot1
  fma y0 state0 slot2 slot1
  noise.1 slot1 . const2
  fnma slot0 slot1 slot0 slot0
  fma saved6 state1 slot1 slot0
backward
  noise.0 slot0 . const1
  fnma slot1 slot0 dstate0 dstate0
  mul slot4 saved5 slot1
  dsigmoid z3 slot4 saved4
  mul slot1 saved4 slot1
  dtanh slot1 slot1 saved5
  noise.1 slot2 . const2
  sub slot3 const3 slot2
  fma slot1 slot3 dstate1 slot1
  mul slot4 state1 slot1
  dsigmoid z1 slot4 saved3
  mul slot4 saved1 slot1
  dtanh z2 slot4 saved2
  mul slot4 saved2 slot1
  dsigmoid z0 slot4 saved1
  mul slot2 slot2 dstate1
  fma dprev1 saved3 slot1 slot2
  mul slot0 slot0 dstate0
  dgates slot1
  noise.255.drop slot2 . const0
  fma dprev0 slot2 slot1 slot0
)"};

// h = (c0 v - (-v)) / c1, v = relu(z): the operations that the others leave out.
inline const Cell RECTIFIED{"rectified rnn", R"(
x_rows 0  h_rows 0  both 1  states 1  slots 2 3  constants .5 2.5  carry y0  main state0
forward
  gates . state0
  relu slot0 z0
  neg slot1 slot0
  fms slot0 slot0 const0 slot1
  div y0 slot0 const1
backward
  div slot0 dstate0 const1
  mul slot1 slot0 const0
  neg slot2 slot0
  sub slot1 slot1 slot2
  drelu z0 slot1 y0
  dgates dprev0
)"};

inline const Cell CELLS[] = {RNN, LSTM, GRU, GRU_BEFORE, PEEPHOLE, PROJECTED, NORMED, ZONED, RECTIFIED};

inline int find(const char* const* names, int count, std::string name) {
    for (char& letter : name) letter = char(std::toupper(static_cast<unsigned char>(letter)));
    for (int k = 0; k < count; ++k)
        if (name == names[k]) return k;
    return -1;
}

inline int operand(const std::string& word) {
    static const char* const kinds[] = {
#define KIND(name) #name,
#include "../../native/table.h"
    };
    if (word == ".") return 0;
    const size_t digit = word.find_first_of("0123456789");
    const int kind = find(kinds, gated::KINDS, word.substr(0, digit));
    if (kind < 0) throw std::invalid_argument("no operand " + word);
    return kind * 256 + std::stoi(word.substr(digit));
}

inline gated::Instruction instruction(const std::string& line) {
    static const char* const ops[] = {
#define OP(name, reads, inplace) #name,
#include "../../native/table.h"
    };
    std::istringstream words(line);
    std::string op, word;
    words >> op;
    int imm = 0, operands[4] = {0, 0, 0, 0};
    std::istringstream parts(op);
    std::getline(parts, op, '.');
    while (std::getline(parts, word, '.')) imm |= word == "p" ? 1 : word == "drop" ? 2 : std::stoi(word) << 8;
    for (int k = 0; words >> word; ++k) operands[k] = operand(word);
    const int code = find(ops, gated::OPS, op);
    if (code < 0) throw std::invalid_argument("no operation " + op);
    return {code, operands[0], operands[1], operands[2], operands[3], imm};
}

// Columns of `saved` whose gradient the loss has; everything else of the text is in the plan.
inline gated::Plan plan_of(const Cell& cell, std::vector<int>* seeds = nullptr) {
    gated::Plan p;
    std::istringstream lines(cell.text);
    std::string line, key, word;
    std::vector<gated::Instruction>* program = nullptr;
    while (std::getline(lines, line)) {
        if (line == "forward" || line == "backward") {
            program = line == "forward" ? &p.forward : &p.backward;
            continue;
        }
        if (program != nullptr) {
            program->push_back(instruction(line));
            continue;
        }
        std::istringstream words(line);
        while (words >> word) {
            const bool names = std::isalpha(static_cast<unsigned char>(word[0])) &&
                               !std::isdigit(static_cast<unsigned char>(word.back()));
            if (names) {
                key = word;
                if (key == "outer") p.outer.push_back({-1, -1, -1});
                if (key == "slots") p.slots[0] = p.slots[1] = -1;
                continue;
            }
            if (key == "x_rows") p.x_rows.push_back(std::stoi(word));
            if (key == "h_rows") p.h_rows.push_back(std::stoi(word));
            if (key == "both") p.both = std::stoi(word);
            if (key == "states") p.states = std::stoi(word);
            if (key == "vectors") p.vectors = std::stoi(word);
            if (key == "saved") p.saved = std::stoi(word);
            if (key == "scalars") p.scalars = std::stoi(word);
            if (key == "extras") p.extras = std::stoi(word);
            if (key == "traced") p.traced = std::stoi(word);
            if (key == "project") p.project = true;
            if (key == "recur") p.recur = true;
            if (key == "slots") (p.slots[0] < 0 ? p.slots[0] : p.slots[1]) = std::stoi(word);
            if (key == "constants") p.constants.push_back(std::stod(word));
            if (key == "carry") p.carry.push_back(operand(word));
            if (key == "main") p.main = operand(word);
            if (key == "seeds" && seeds != nullptr) seeds->push_back(gated::index(operand(word)));
            if (key == "outer") {
                gated::Outer& o = p.outer.back();
                (o.matrix < 0  ? o.matrix
                 : o.input < 0 ? o.input
                               : o.gradient) = o.matrix < 0 ? std::stoi(word) : operand(word);
            }
        }
    }
    p.check();
    return p;
}

}  // namespace test
