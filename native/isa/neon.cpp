#define GATED_TARGET neon
#define GATED_BYTES 16
#include "../body.h"

namespace gated {
GATED_BODY(neon)
}
