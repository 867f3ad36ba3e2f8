#define GATED_TARGET avx512
#define GATED_BYTES 64
#define GATED_AVX
#include "../body.h"

namespace gated {
GATED_BODY(avx512)
}
