// The table of a plan's parts. A file defines the macro that it needs and includes this one: enums in plan.h,
// checks in plan.cpp, names for Python in bind.cpp. Python reads them from `_native` and holds no copy.
//
// KIND(name)                of an operand, which is 256 times its kind, and an index
// OP(name, reads, inplace)  instruction: how many of a, b, c are rows that it reads; whether d may be one
// LIMIT(name, most)         how many of each a plan may have
// PARAMETER(name)           of one direction, in this order; the cell's own vectors follow
#ifndef KIND
#define KIND(name)
#endif
#ifndef OP
#define OP(name, reads, inplace)
#endif
#ifndef LIMIT
#define LIMIT(name, most)
#endif
#ifndef PARAMETER
#define PARAMETER(name)
#endif

// clang-format off
KIND(NONE)
KIND(SLOT)     // temporary
KIND(Z)        // block of z; of dz in the backward program
KIND(STATE)    // old state
KIND(NEXT)     // new state, but for h
KIND(SAVED)    // column kept for the backward program or the caller
KIND(VECTOR)   // the cell's own vector, the same for all rows
KIND(CONST)    // constant
KIND(DSTATE)   // gradient of the new state
KIND(DPREV)    // gradient of the old state
KIND(DSEED)    // the caller's gradient of a saved column
KIND(EXTRA)    // column beside dz
KIND(SCALAR)   // one number a row
KIND(DVECTOR)  // gradient of the cell's own vector
KIND(Y)        // new h
KIND(DTRACE)   // gradient of a traced value, for the caller

OP(COPY, 1, true)
OP(ADD, 2, true)
OP(SUB, 2, true)
OP(MUL, 2, true)
OP(DIV, 2, true)
OP(NEG, 1, true)
OP(FMA, 3, true)          // a b + c
OP(FMS, 3, true)          // a b - c
OP(FNMA, 3, true)         // c - a b
OP(SIGMOID, 1, true)
OP(TANH, 1, true)
OP(RELU, 1, true)
OP(DSIGMOID, 2, true)     // a b (1 - b)
OP(DTANH, 2, true)        // a (1 - b b)
OP(DRELU, 2, true)        // a where b > 0
OP(NORM, 1, false)        // (a - mean) / √(var + EPSILON); c gets the divisor's inverse
OP(DNORM, 2, false)       // c (a - mean a - b mean(a b))
OP(ACC, 1, false)         // d += Σ rows a
OP(ACCMUL, 2, false)      // d += Σ rows a b
OP(NOISE, 0, false)       // mask
OP(GATES, 0, false)       // z = W x + b + R a + b'
OP(DGATES, 0, false)      // d = Rᵀ dz + b
OP(PRODUCT, 1, false)     // d = M a
OP(DPRODUCT, 1, false)    // d = Mᵀ a + b
OP(DSIGMOIDMUL, 3, true)  // a c b (1 - b)
OP(DTANHMUL, 3, true)     // a c (1 - b b)

LIMIT(states, 64)
LIMIT(blocks, 64)
LIMIT(vectors, 200)
LIMIT(constants, 200)
LIMIT(slots, 255)
LIMIT(saved, 255)
LIMIT(scalars, 64)
LIMIT(extras, 64)
LIMIT(traced, 255)
LIMIT(outer, 64)
LIMIT(instructions, 4096)

PARAMETER(WEIGHT_IH)      // (x_blocks H, I)
PARAMETER(WEIGHT_HH)      // (h_blocks H, P)
PARAMETER(BIAS_IH)        // (x_blocks H)
PARAMETER(BIAS_HH)        // (h_blocks H)
PARAMETER(PROJECT)        // (P, H)
PARAMETER(RECUR)          // (H, P)
// clang-format on

#undef KIND
#undef OP
#undef LIMIT
#undef PARAMETER
