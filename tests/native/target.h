// Tests of one instruction set's products, math and noise: GATED_TARGET is its name.
#pragma once

#include "check.h"

namespace target {

void gemm();
void math();
void noise();

}  // namespace target
