#define GATED_TARGET scalar
#define GATED_BYTES 4
#include "../body.h"

namespace gated {
GATED_BODY(scalar)
}
