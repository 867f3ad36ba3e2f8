#define GATED_TARGET avx512bf16
#define GATED_BYTES 64
#define GATED_AVX
#define GATED_BF16
#include "../body.h"

namespace gated {
GATED_BODY(avx512bf16)
}
