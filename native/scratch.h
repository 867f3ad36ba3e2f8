// Memory: for the length of a call, cached by the thread for the next one unless it is much; and for results.
#pragma once

#include <cstddef>

namespace gated {

class Scratch {
   public:
    ~Scratch();
    char* of(size_t size);  // aligned to a page; throws std::bad_alloc

    // Memory that the caller frees.
    static char* own(size_t size);
    static void free(char* memory);
};

// Asks for large pages where a fresh result of `size` bytes will be: writing 100 MB first in 4 KiB pages
// costs more than many layers.
void large_pages(void* memory, size_t size);

}  // namespace gated
