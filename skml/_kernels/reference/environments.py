"""Twin of environments.pyx: copies of an environment in lockstep."""

import math

import numpy as np

_GOLDEN, _MASK, _FIRST_STEP = 0x9E3779B97F4A7C15, 2**64 - 1, 8
_WIDTHS, _ACTIONS, _PARAMETERS = (4, 2), (2, 3), 10


def seed_copies(seed, first, clock):
    """Put copies numbered from `first` at the beginning of their episode 0 under a seed."""
    _same(clock.shape[1] == 4)
    for i in range(len(clock)):
        clock[i, :3] = _signed(_mixed(_mixed(seed) + (first + i) * _GOLDEN)), 0, 0


def draws(clock, purpose, out):
    """Write k draws of each copy at its step: a function of seed, copy, episode, step and purpose alone."""
    _same(clock.shape[1] == 4, len(clock) == len(out))
    for i, (base, episode, step, _) in enumerate(clock.tolist()):
        stream = _episode_stream(_episode_stream(base + purpose, episode), step)
        out[i] = [_uniform(stream, j) for j in range(out.shape[1])]


def start_control(kind, parameters, clock, states, observations):
    """Write the states in which the episodes of all copies begin."""
    _check_control(kind, parameters, clock, states, observations)
    for i in range(len(states)):
        observations[i] = states[i] = _start(kind, parameters[i], clock[i])


def step_control(kind, parameters, actions, go_on, clock, states, observations, last, rewards, ended):
    """Take one step of all copies."""
    _check_control(kind, parameters, clock, states, observations)
    _same(last.shape == states.shape, ended.shape == (2, len(states)))
    _same(len(actions) == len(rewards) == len(states), all(0 <= action < _ACTIONS[kind] for action in actions))
    move = (_cart_pole, _mountain_car)[kind]
    for i in range(len(states)):
        state, rewards[i], ended[0, i] = move(parameters[i], int(actions[i]), states[i].tolist())
        last[i] = states[i] = state
        if _count(clock[i], ended[:, i]) and go_on:
            clock[i, 1:3] = clock[i, 1] + 1, 0
            states[i] = _start(kind, parameters[i], clock[i])
    observations[:] = states


def start_table(table, clock, states):
    """Write the states in which the episodes of all copies begin."""
    _check_table(table, clock, states)
    for i in range(len(states)):
        states[i] = _place(table[7], _uniform(_stream(clock[i]), 0))


def step_table(table, actions, go_on, clock, states, last, rewards, ended):
    """Take one step of all copies."""
    _check_table(table, clock, states)
    _same(len(actions) == len(rewards) == len(last) == len(states), ended.shape == (2, len(states)))
    pairs = [_pair(table, s, a) for s, a in zip(states, actions)]
    for i, pair in enumerate(pairs):
        o = _outcome(table, pair, _uniform(_stream(clock[i]), _FIRST_STEP + int(clock[i, 2])))
        last[i] = states[i] = table[4][o]
        rewards[i], ended[0, i] = table[5][o], table[6][o]
        if _count(clock[i], ended[:, i]) and go_on:
            clock[i, 1:3] = clock[i, 1] + 1, 0
            states[i] = _place(table[7], _uniform(_stream(clock[i]), 0))


def _count(clock, ended):
    """Count a step of a copy, and return whether its episode has ended."""
    clock[2] += 1
    ended[1] = not ended[0] and 0 < clock[3] <= clock[2]
    return ended.any()


def _start(kind, p, clock):
    """Return the state in which an episode begins."""
    stream, n_drawn = _stream(clock), (4, 1)[kind]
    drawn = [p[8] + (p[9] - p[8]) * _uniform(stream, j) for j in range(n_drawn)]
    return drawn + [0.0] * (_WIDTHS[kind] - n_drawn)


def _cart_pole(p, action, state):
    """Return the next state, the reward, and whether the episode has ended."""
    gravity, cart, pole, length, force, seconds, reward, last_reward = p[:8].tolist()
    place, speed, angle, spin = state
    sine, cosine, total, moment = math.sin(angle), math.cos(angle), pole + cart, pole * length
    pull = ((force if action == 1 else -force) + moment * (spin * spin) * sine) / total
    turning = (gravity * sine - cosine * pull) / (length * (4.0 / 3.0 - pole * (cosine * cosine) / total))
    speeding = pull - moment * turning * cosine / total
    state = [place + seconds * speed, speed + seconds * speeding, angle + seconds * spin, spin + seconds * turning]
    over = abs(state[0]) > 2.4 or abs(state[2]) > 12 * 2 * math.pi / 360
    return state, last_reward if over else reward, over


def _mountain_car(p, action, state):
    """Return the next state, the reward, and whether the episode has ended."""
    place, speed = state
    speed = min(max(speed + ((action - 1) * p[0] + math.cos(3 * place) * -p[1]), -0.07), 0.07)
    place = min(max(place + speed, -1.2), 0.6)
    speed = 0.0 if place == -1.2 and speed < 0 else speed
    return [place, speed], -1.0, place >= 0.5 and speed >= p[2]


def _pair(table, state, action):
    """Return the pair of a state and an action."""
    offsets, pair_actions = table[:2]
    _same(0 <= state < len(offsets) - 1)
    first, end = offsets[state : state + 2].tolist()
    _same(first >= 0, end <= len(pair_actions))
    found = np.flatnonzero(pair_actions[first:end] == action)
    _same(len(found))
    return first + int(found[0])


def _outcome(table, pair, u):
    """Return the outcome of a pair that a draw picks."""
    first, end = table[2][pair : pair + 2].tolist()
    _same(0 <= first < end <= len(table[4]))
    o = first + _place(table[3][first:end], u)
    _same(0 <= table[4][o] < len(table[7]))
    return o


def _place(cumulative, u):
    """Return the first place whose cumulative probability exceeds u, the last place at most."""
    return min(int(np.searchsorted(cumulative, u, side="right")), len(cumulative) - 1)


def _stream(clock):
    return _episode_stream(int(clock[0]), int(clock[1]))


def _episode_stream(base, episode):
    return _mixed((base & _MASK) ^ _mixed(~episode))


def _uniform(stream, counter):
    return (_mixed(stream + counter * _GOLDEN) >> 11) * 2.0**-53


def _mixed(z):
    """Return 64 random bits: splitmix64 (Steele, Lea & Flood 2014)."""
    z = (z + _GOLDEN) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def _signed(bits):
    return bits - 2**64 if bits >= 2**63 else bits


def _check_control(kind, parameters, clock, states, observations):
    _same(0 <= kind < len(_WIDTHS))
    _same(states.shape == observations.shape == (len(clock), _WIDTHS[kind]), clock.shape[1] == 4)
    _same(parameters.shape == (len(clock), _PARAMETERS))


def _check_table(table, clock, states):
    offsets, pair_actions, indptr, cumulative, next_states, rewards, terminated, start = map(len, table)
    _same(clock.shape == (len(states), 4), offsets == start + 1 > 1, indptr == pair_actions + 1 > 1)
    _same(cumulative == next_states == rewards == terminated > 0)


def _same(*conditions):
    """Raise unless all hold."""
    if not all(conditions):
        raise ValueError("The arguments disagree in shape, or a number lies outside its range.")
