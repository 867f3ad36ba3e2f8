// Threads and the barrier: every piece of work is done once, by a team that runs at once, whoever asks.
#include "../../native/threads.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "check.h"

namespace {

using gated::Barrier;
using gated::parallel;

void every_thread_works_once() {
    for (int round = 0; round < 2000; ++round) {
        const int n = 1 + round * 7 % 5;
        int done[5] = {0}, teams[5] = {0};
        parallel(n, [&](int thread, int team) { ++done[thread], teams[thread] = team; });
        const int team = teams[0];
        EXPECT(team >= 1 && team <= n, "1 to %d, got %d", n, team);
        for (int k = 0; k < 5; ++k)
            EXPECT(done[k] == (k < team), "round %d: thread %d worked %d times", round, k, done[k]);
    }
}

void a_team_meets_at_every_step() {
    for (const int n : {1, 2, 3}) {
        Barrier barrier;
        std::vector<int> step(size_t(n) * 64, 0);  // apart in memory
        int late = 0;
        parallel(n, [&](int thread, int team) {
            for (int k = 1; k <= 500; ++k) {
                step[size_t(thread) * 64] = k;
                barrier.wait(team);
                for (int other = 0; other < team; ++other)
                    if (step[size_t(other) * 64] != k && thread == 0) ++late;
                barrier.wait(team);
            }
        });
        EXPECT(late == 0, "%d threads: %d times late", n, late);
    }
}

void callers_at_once() {
    std::vector<std::thread> callers;
    int sums[4] = {0};
    for (int& sum : sums)
        callers.emplace_back([&sum] {
            for (int round = 0; round < 300; ++round) {
                int done[3] = {0};
                parallel(3, [&](int thread, int) { ++done[thread]; });
                sum += done[0] + done[1] + done[2] >= 1;
            }
        });
    for (std::thread& t : callers) t.join();
    for (const int sum : sums) EXPECT(sum == 300, "got %d", sum);
}

void calls_within_calls() {
    int inner[3] = {0};
    parallel(3, [&](int thread, int) {
        for (int round = 0; round < 100; ++round) {
            int done[2] = {0};
            parallel(2, [&](int t, int) { ++done[t]; });
            inner[thread] += done[0];
        }
    });
    EXPECT(inner[0] == 100 && inner[1] % 100 == 0 && inner[2] % 100 == 0, "got %d %d %d", inner[0], inner[1],
           inner[2]);
}

// A fork has none of its parent's threads: it works alone, and it can end.
void a_fork_works_alone() {
    parallel(3, [](int, int) {});
    const pid_t child = fork();
    if (child == 0) {
        alarm(20);
        int done = 0, team = 0;
        parallel(3, [&](int, int of) { ++done, team = of; });
        if (done != 1 || team != 1) _exit(3);
        std::exit(0);  // with destructors
    }
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the fork ended with status %x", unsigned(status));
    int done[3] = {0};
    parallel(3, [&](int thread, int) { ++done[thread]; });
    EXPECT(done[0] == 1, "the parent goes on, %d", done[0]);
}

}  // namespace

void test::all() {
    const std::string whose = gated::threads();
    EXPECT(whose == "pool" || whose == "openmp", "got %s", whose.c_str());
    every_thread_works_once();
    a_team_meets_at_every_step();
    callers_at_once();
    calls_within_calls();
    a_fork_works_alone();
}
