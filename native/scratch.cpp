#include "scratch.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <new>

namespace gated {
namespace {

constexpr size_t MAX_CACHE = size_t(128) << 20;

struct Cache {
    char* memory = nullptr;
    size_t size = 0;
    ~Cache() { std::free(memory); }
};

thread_local Cache cache;

}  // namespace

char* Scratch::own(size_t size) {
    const size_t page = size > (size_t(4) << 20) ? size_t(2) << 20 : 4096;
    const size_t whole = (size + page) / page * page;
    char* memory = static_cast<char*>(std::aligned_alloc(page, whole));
    if (memory == nullptr) throw std::bad_alloc();
    large_pages(memory, whole);
    return memory;
}

void Scratch::free(char* memory) { std::free(memory); }

char* Scratch::of(size_t size) {
    if (cache.size >= size && cache.memory != nullptr) return cache.memory;
    std::free(cache.memory);
    cache.memory = nullptr, cache.size = 0;
    cache.memory = own(size + size / 4);
    cache.size = size + size / 4;
    return cache.memory;
}

Scratch::~Scratch() {
    if (cache.size <= MAX_CACHE) return;
    std::free(cache.memory);
    cache.memory = nullptr, cache.size = 0;
}

void large_pages(void* memory, size_t size) {
#ifdef MADV_HUGEPAGE
    constexpr uintptr_t page = uintptr_t(2) << 20;
    const uintptr_t begin = (reinterpret_cast<uintptr_t>(memory) + page - 1) / page * page;
    const uintptr_t end = (reinterpret_cast<uintptr_t>(memory) + size) / page * page;
    if (memory != nullptr && end > begin) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#else
    (void)memory, (void)size;
#endif
}

}  // namespace gated
