#include "threads.h"

#include <unistd.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#ifndef GATED_NO_OPENMP
#include <dlfcn.h>
#endif

namespace gated {
namespace {

using Work = std::function<void(int, int)>;

// GNU's entry into a parallel region. It is looked up, not linked: linking would bring a second runtime.
struct OpenMP {
    void (*parallel)(void (*)(void*), void*, unsigned, unsigned) = nullptr;
    int (*thread)() = nullptr;
    int (*team)() = nullptr;
    OpenMP() {
#ifndef GATED_NO_OPENMP
        parallel = reinterpret_cast<decltype(parallel)>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
        thread = reinterpret_cast<decltype(thread)>(dlsym(RTLD_DEFAULT, "omp_get_thread_num"));
        team = reinterpret_cast<decltype(team)>(dlsym(RTLD_DEFAULT, "omp_get_num_threads"));
        if (thread == nullptr || team == nullptr) parallel = nullptr;
#endif
    }
};

const OpenMP& openmp() {
    static const OpenMP runtime;
    return runtime;
}

// Sleeping threads, grown as asked. One caller at a time; a second one meanwhile works alone.
class Pool {
   public:
    bool run(int n, const Work& given) {
        std::unique_lock<std::mutex> alone(busy, std::try_to_lock);
        if (!alone) return false;
        while (int(sleepers.size()) < n - 1)
            sleepers.emplace_back([this, id = int(sleepers.size()) + 1] { serve(id); });
        {
            std::lock_guard<std::mutex> hold(lock);
            work = &given, team = n, left = n - 1, ++round;
        }
        wake.notify_all();
        given(0, n);
        std::unique_lock<std::mutex> hold(lock);
        done.wait(hold, [this] { return left == 0; });
        return true;
    }

   private:
    void serve(int id) {
        for (unsigned last = 0;;) {
            const Work* mine;
            int count;
            {
                std::unique_lock<std::mutex> hold(lock);
                wake.wait(hold, [&] { return round != last && id < team; });
                last = round, mine = work, count = team;
            }
            (*mine)(id, count);
            std::lock_guard<std::mutex> hold(lock);
            if (--left == 0) done.notify_one();
        }
    }
    std::mutex busy, lock;
    std::condition_variable wake, done;
    std::vector<std::thread> sleepers;
    const Work* work = nullptr;
    int team = 0, left = 0;
    unsigned round = 0;
};

}  // namespace

void parallel(int n, const Work& work) {
    if (n > 1) {
        static const pid_t home = getpid();
        const bool forked = getpid() != home;  // and has none of the threads, neither ours nor the runtime's
        if (!forked && openmp().parallel != nullptr) {
            const auto enter = [](void* w) {
                (*static_cast<const Work*>(w))(openmp().thread(), openmp().team());
            };
            openmp().parallel(enter, const_cast<Work*>(&work), unsigned(n), 0);
            return;
        }
        // Never unmade: its threads may be asleep when the process ends, and a fork cannot join them.
        static Pool& pool = *new Pool;
        if (!forked && pool.run(n, work)) return;
    }
    work(0, 1);
}

const char* threads() { return openmp().parallel != nullptr ? "openmp" : "pool"; }

void Barrier::wait(int team) {
    const int mine = turn.load(std::memory_order_acquire);
    if (arrived.fetch_add(1, std::memory_order_acq_rel) == team - 1) {
        arrived.store(0, std::memory_order_relaxed);
        turn.store(mine + 1, std::memory_order_release);
        return;
    }
    for (int spins = 0; turn.load(std::memory_order_acquire) == mine; ++spins)
        if (spins > 4000) std::this_thread::yield();  // the other one may have lost its core
}

}  // namespace gated
