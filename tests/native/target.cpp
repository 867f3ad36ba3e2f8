#include "target.h"

void test::all() {
    target::gemm();
    target::math();
    target::noise();
}
