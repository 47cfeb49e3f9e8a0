// Counter-based random numbers: an episode's draws depend on the seed, the copy and the episode's number alone.
#pragma once
#include <cstddef>
#include <cstdint>

namespace skml_streams {

constexpr uint64_t GOLDEN = 0x9E3779B97F4A7C15u;
constexpr uint64_t FIRST_STEP = 8;  // the counters before it are those of the start

static inline uint64_t mixed(uint64_t z) {  // splitmix64 (Steele, Lea & Flood 2014)
    z += GOLDEN;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

// What copy number `copy` of an environment draws under a seed, and what it draws in its k-th episode.
static inline uint64_t copy_stream(uint64_t seed, uint64_t copy) { return mixed(mixed(seed) + copy * GOLDEN); }
static inline uint64_t episode_stream(uint64_t base, uint64_t episode) { return mixed(base ^ mixed(~episode)); }

// The draw number `counter` of a stream, in [0, 1).
static inline double uniform(uint64_t stream, uint64_t counter) {
    return (double)(mixed(stream + counter * GOLDEN) >> 11) * 0x1p-53;
}

// Where a copy is: a row of an int64 array (N, 4), so that Python can hold it.
struct Clock {
    uint64_t base;  // copy_stream(seed, copy)
    int64_t episode, step, limit;  // the episode's number, the steps taken in it, and the most it may have (0: no limit)
    uint64_t stream() const { return episode_stream(base, (uint64_t)episode); }
    double draw() const { return uniform(stream(), FIRST_STEP + (uint64_t)step); }  // of the next step
    bool late() const { return limit > 0 && step >= limit; }
    void next_episode() { episode++; step = 0; }
};
static_assert(sizeof(Clock) == 4 * sizeof(int64_t), "a row of four integers");
}  // namespace skml_streams
