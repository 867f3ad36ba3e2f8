#include "dispatch.h"

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

namespace gated {

extern const Body body_scalar;
#if defined(__x86_64__)
extern const Body body_avx2, body_avx512, body_avx512bf16;
#elif defined(__aarch64__)
extern const Body body_neon;
#endif

std::vector<std::string> available_isas() {
    std::vector<std::string> sets{"scalar"};
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
    __builtin_cpu_init();
    // The builtin also asks the operating system whether it saves the wide registers.
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) sets.emplace_back("avx2");
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        sets.emplace_back("avx512");
#elif defined(__aarch64__)
    sets.emplace_back("neon");  // part of the base architecture
#endif
    return sets;
}

std::string isa() {
    const std::vector<std::string> sets = available_isas();
    const char* asked = std::getenv("GATED_ISA");
    if (asked == nullptr || *asked == '\0') return sets.back();
    if (std::find(sets.begin(), sets.end(), asked) != sets.end()) return asked;
    std::string names;
    for (const std::string& name : sets) names += (names.empty() ? "" : ", ") + name;
    throw std::invalid_argument("GATED_ISA: expected one of " + names + ", got '" + asked +
                                "'. Unset it to use " + sets.back() + ".");
}

bool bf16() {
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
    return __builtin_cpu_supports("avx512bf16") && isa() == "avx512";
#else
    return false;
#endif
}

const Body& body(bool with_bf16) {
#if defined(__x86_64__)
    if (with_bf16 && bf16()) return body_avx512bf16;
#endif
    (void)with_bf16;
    static const Body* chosen = [] {
        const std::string name = isa();
#if defined(__x86_64__)
        if (name == "avx512") return &body_avx512;
        if (name == "avx2") return &body_avx2;
#elif defined(__aarch64__)
        if (name == "neon") return &body_neon;
#endif
        return &body_scalar;
    }();
    return *chosen;
}

}  // namespace gated
