// Control tasks with continuous states: the cart with a pole (Barto, Sutton & Anderson 1983) and the car on a mountain
// (Moore 1990), as Gymnasium plays them.
//
//     double s[4];                                          // the state, of which width_of(kind) numbers are used
//     start(kind, p, clock.stream(), s);
//     Outcome o = advance(kind, p, action, clock, s, last);  // s and clock are those of the next episode where one ends
#pragma once
#include <cmath>
#include "streams.hpp"

// A cart's fall magnifies rounding: without contraction to fused multiply-adds every x86-64 level plays the same episodes.
#if defined(__FMA__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif

namespace skml_control {
using skml_streams::Clock;
using skml_streams::uniform;

enum Kind { CART_POLE = 0, MOUNTAIN_CAR = 1, KINDS = 2 };
constexpr int PARAMETERS = 10, WIDTH = 4;  // of a row of parameters; the most numbers of a state

static inline int width_of(int kind) { return kind == CART_POLE ? 4 : 2; }
static inline int actions_of(int kind) { return kind == CART_POLE ? 2 : 3; }

struct CartPole {  // state: place, speed, angle, angular speed
    double gravity, cart, pole, length, force, seconds, reward, last_reward, low, high;  // length: half of the pole's

    void start(uint64_t stream, double* s) const {
        for (int i = 0; i < 4; i++) s[i] = low + (high - low) * uniform(stream, (uint64_t)i);
    }

    bool step(int64_t action, double* s, double& r) const {
        const double push = action == 1 ? force : -force, sine = std::sin(s[2]), cosine = std::cos(s[2]);
        const double total = pole + cart, moment = pole * length;
        const double pull = (push + moment * (s[3] * s[3]) * sine) / total;
        const double turning = (gravity * sine - cosine * pull) / (length * (4.0 / 3.0 - pole * (cosine * cosine) / total));
        const double speeding = pull - moment * turning * cosine / total;
        s[0] = s[0] + seconds * s[1];
        s[1] = s[1] + seconds * speeding;
        s[2] = s[2] + seconds * s[3];
        s[3] = s[3] + seconds * turning;
        const double angle = 12 * 2 * 3.141592653589793 / 360;
        const bool over = s[0] < -2.4 || s[0] > 2.4 || s[2] < -angle || s[2] > angle;
        r = over ? last_reward : reward;
        return over;
    }
};

struct MountainCar {  // state: place, speed
    double force, gravity, goal_speed, unused[5], low, high;

    void start(uint64_t stream, double* s) const {
        s[0] = low + (high - low) * uniform(stream, 0);
        s[1] = 0;
    }

    bool step(int64_t action, double* s, double& r) const {
        double speed = s[1] + ((double)(action - 1) * force + std::cos(3 * s[0]) * -gravity);
        speed = speed < -0.07 ? -0.07 : speed > 0.07 ? 0.07 : speed;
        double place = s[0] + speed;
        place = place < -1.2 ? -1.2 : place > 0.6 ? 0.6 : place;
        if (place == -1.2 && speed < 0) speed = 0;
        s[0] = place;
        s[1] = speed;
        r = -1;
        return place >= 0.5 && speed >= goal_speed;
    }
};
static_assert(sizeof(CartPole) == PARAMETERS * sizeof(double) && sizeof(MountainCar) == sizeof(CartPole), "a row");

// The state in which an episode begins; p: the row of PARAMETERS numbers that is one of the structs above.
static inline void start(int kind, const double* p, uint64_t stream, double* s) {
    if (kind == CART_POLE) ((const CartPole*)p)->start(stream, s); else ((const MountainCar*)p)->start(stream, s);
}

// Moves a state on by one step and tells whether the episode has ended in it.
static inline bool move(int kind, const double* p, int64_t action, double* s, double& reward) {
    return kind == CART_POLE ? ((const CartPole*)p)->step(action, s, reward) : ((const MountainCar*)p)->step(action, s, reward);
}

struct Outcome { double reward; bool terminated, truncated; };

// One step of a copy: `last` receives what it led to; where that ends the episode, s and clock become those of the next
// (unless go_on is false).
static inline Outcome advance(int kind, const double* p, int64_t action, Clock& clock, double* s, double* last,
                              bool go_on = true) {
    Outcome o;
    o.terminated = move(kind, p, action, s, o.reward);
    clock.step++;
    o.truncated = !o.terminated && clock.late();
    for (int i = 0, d = width_of(kind); i < d; i++) last[i] = s[i];
    if (go_on && (o.terminated || o.truncated)) {
        clock.next_episode();
        start(kind, p, clock.stream(), s);
    }
    return o;
}
}  // namespace skml_control

#if defined(__FMA__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
