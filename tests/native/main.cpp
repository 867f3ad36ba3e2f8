// Runs one file of tests. With GATED_SET, only where the processor has that instruction set: this file is
// compiled for every processor, the tests for one.
#include <algorithm>
#include <exception>

#include "../../native/dispatch.h"
#include "check.h"

int main() {
#ifdef GATED_SET
    auto found = gated::available_isas();
    if (gated::bf16()) found.emplace_back("avx512bf16");
    if (std::find(found.begin(), found.end(), GATED_SET) == found.end()) {
        std::printf("skipped: this processor has no %s\n", GATED_SET);
        return 77;
    }
#endif
    try {
        test::all();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "threw: %s\n", error.what());
        return 1;
    }
    if (test::broken > 0) std::fprintf(stderr, "%d promises broken\n", test::broken);
    return test::broken > 0;
}
