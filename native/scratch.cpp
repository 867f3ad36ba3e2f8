#include "scratch.h"

#include <cstdlib>
#include <new>

namespace gated {
namespace {

constexpr size_t KEPT = size_t(64) << 20;

struct Kept {
    char* memory = nullptr;
    size_t size = 0;
    ~Kept() { std::free(memory); }
};

thread_local Kept kept;

}  // namespace

char* Scratch::of(size_t size) {
    if (kept.size >= size && kept.memory != nullptr) return kept.memory;
    std::free(kept.memory);
    const size_t whole = (size + size / 4 + 4095) / 4096 * 4096 + 4096;
    kept.memory = static_cast<char*>(std::aligned_alloc(4096, whole));
    kept.size = kept.memory == nullptr ? 0 : whole;
    if (kept.memory == nullptr) throw std::bad_alloc();
    return kept.memory;
}

Scratch::~Scratch() {
    if (kept.size <= KEPT) return;
    std::free(kept.memory);
    kept.memory = nullptr, kept.size = 0;
}

}  // namespace gated
