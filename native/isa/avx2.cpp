#define GATED_TARGET avx2
#define GATED_BYTES 32
#define GATED_AVX
#include "../body.h"

namespace gated {
GATED_BODY(avx2)
}
