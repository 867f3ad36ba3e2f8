// Memory for the length of a call, kept by the thread for the next one unless it is much.
#pragma once

#include <cstddef>

namespace gated {

class Scratch {
   public:
    ~Scratch();
    char* of(size_t size);  // aligned to 64; throws std::bad_alloc
};

}  // namespace gated
