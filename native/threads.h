// Threads: those of the OpenMP runtime that the process already has (torch brings one), so that no second
// pool fights the first for the same cores; where there is none, threads of our own, which sleep when idle.
#pragma once

#include <atomic>
#include <functional>

namespace gated {

// Runs work(thread, team) on up to n threads, the caller among them; returns when all have. All of a team run
// at once. Nothing may be thrown in work.
void parallel(int n, const std::function<void(int, int)>& work);

// "openmp" or "pool".
const char* threads();

// Lets the threads of a team wait for each other, again and again.
class Barrier {
   public:
    void wait(int team);

   private:
    std::atomic<int> arrived{0}, turn{0};
};

}  // namespace gated
