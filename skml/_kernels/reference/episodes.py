"""Tabular control in plain Python: the definition."""

import math

import numpy as np

_GOLDEN, _MASK, _NEGLIGIBLE, _FIRST_STEP = 0x9E3779B97F4A7C15, 2**64 - 1, 1e-8, 8
_MAXIMUM, _TAKEN, _EXPECTED = range(3)
_GREEDY, _SOFTMAX, _UCB = range(3)
_SCHEDULED, _COUNTED, _RESCALED = range(3)
_EXPLORE, _PICK, _COIN = range(3)
_NOT, _TERMINATED, _TRUNCATED, _IDLE = range(4)
_STATE, _PAIR = range(2)


def run_episodes(worlds, rule, loop, n_ticks):
    """Let all copies act and learn `n_ticks` times, or until a limit; return how many episodes are in `finished`."""
    _check(worlds, rule, loop)
    before = int(loop.done[1])
    for _ in range(n_ticks):
        share = _share_done(rule, loop)
        if share >= 1 or loop.done[1] - before > len(loop.finished) - len(loop.places):
            break
        game = worlds, rule, loop, _scheduled(rule.rates, share), _scheduled(rule.levels, share)
        for act in (_begin, _step):
            for i in range(len(loop.places)):
                act(game, i)
        _learn_all(game, before)
    return int(loop.done[1]) - before


def follow_moves(rule, loop, moved, begins, actions):
    """Learn from moves that somebody else made, and choose the next actions; return how many episodes ended."""
    _check_moves(rule, loop, moved, begins, actions)
    before, share = int(loop.done[1]), _share_done(rule, loop)
    if moved:
        loop.clock[:, 2] += loop.moves[:, 2] != _IDLE
        loop.moves[:, 1] = -1
        _learn_all((None, rule, loop, _scheduled(rule.rates, share), _scheduled(rule.levels, share)), before)
    game = None, rule, loop, 0.0, _scheduled(rule.levels, _share_done(rule, loop))
    loop.places[loop.places[:, _STATE] != begins] = -1
    loop.places[:, _STATE] = begins
    for i in np.flatnonzero(loop.places[:, _PAIR] < 0):
        loop.places[i, _PAIR] = _chosen(game, i, begins[i])
    actions[:] = loop.places[:, _PAIR] - begins * loop.Q.shape[2]
    return int(loop.done[1]) - before


def _learn_all(game, before):
    """Let all copies that moved look ahead, then all learn, each in turn, and end episodes."""
    _, rule, loop, *_ = game
    moved = np.flatnonzero(loop.moves[:, 2] != _IDLE)
    for i in moved:
        if rule.target == _TAKEN and loop.moves[i, 2] != _TERMINATED:
            loop.moves[i, 1] = _chosen(game, i, loop.moves[i, 0])
    for i in moved:
        loop.worths[i] = _worth(game, i)
    for i in moved:
        _learn(game, i)
    loop.done[0] += len(moved)
    for i in moved[loop.moves[moved, 2] != _NOT]:
        _finish(loop, i, int(loop.done[1]) - before)


def _begin(game, i):
    worlds, _, loop, *_ = game
    place = loop.places[i]
    if place[_STATE] < 0:
        place[_STATE] = _found(worlds.starts[worlds.world_of[i]], _uniform(_stream(loop.clock[i]), 0))
    if place[_PAIR] < 0:
        place[_PAIR] = _chosen(game, i, place[_STATE])


def _step(game, i):
    worlds, _, loop, *_ = game
    clock, (first, end) = loop.clock[i], worlds.indptr[loop.places[i, _PAIR] :][:2]
    u = _uniform(_stream(clock), _FIRST_STEP + int(clock[2]))
    o = first + _found(worlds.cumulative[first:end], u)
    clock[2] += 1
    late = _TRUNCATED if 0 < clock[3] <= clock[2] else _NOT
    loop.moves[i] = worlds.next_states[o], -1, _TERMINATED if worlds.ends[o] else late
    loop.gains[i] = worlds.rewards[o]


def _worth(game, i):
    """Return what the state that a step led to is worth to the pair that it came from."""
    _, rule, loop, *_ = game
    state, pair, ended = loop.moves[i]
    if ended == _TERMINATED:  # nothing comes after; where the clock ran out, the state is worth what it is worth
        return 0.0
    if rule.target == _TAKEN:
        return loop.Q[0, state, _action(game, state, pair)]
    if rule.target == _EXPECTED:
        return _expected(game, i, state)
    actions, table = _choices(game, i, state)[1], _learner(loop, i)
    best = actions[loop.Q[table, state, actions].argmax()]
    return loop.Q[1 - table if len(loop.Q) == 2 else 0, state, best]


def _learner(loop, i):
    """Return the table that learns from a copy's step."""
    return int(len(loop.Q) == 2 and _drawn(loop.clock[i], _COIN) < 0.5)


def _learn(game, i):
    _, rule, loop, *_ = game
    place, (state, pair, ended) = loop.places[i], loop.moves[i]
    q = place[_STATE], _action(game, *place)
    loop.visits[q] += 1
    loop.sums[i, 0] += loop.gains[i]
    if rule.trace_decay > 0:
        _learn_traces(game, i, q, ended)
    else:
        _learn_returns(game, i, q, ended)
    place[_STATE], place[_PAIR] = state, pair


def _learn_returns(game, i, q, ended):
    """Learn G = r + discount r' + ... + discount^n V of the oldest pending pair; of all if the episode ended."""
    _, rule, loop, *_ = game
    pairs, rewards, Q = loop.memory[i], loop.weights[i], loop.Q[_learner(loop, i)].reshape(-1)
    held = int(loop.held[i])
    pairs[held], rewards[held] = np.ravel_multi_index(q, loop.visits.shape), loop.gains[i]
    loop.held[i] = held = held + 1
    while held == rule.n_steps or (ended and held):
        G = loop.worths[i]
        for reward in rewards[:held][::-1]:
            G = reward + rule.discount * G
        _move(game, i, Q, pairs[0], G - Q[pairs[0]])  # Q <- Q + rate (G - Q)
        loop.held[i] = held = held - 1
        pairs[:held], rewards[:held] = pairs[1 : held + 1].copy(), rewards[1 : held + 1].copy()


def _move(game, i, Q, pair, delta):
    Q[pair] += _rate(game, pair) * delta
    game[2].sums[i, 1] += abs(delta)


def _learn_traces(game, i, q, ended):
    """Q <- Q + rate delta e for all pairs with a trace e, which fades by discount * trace_decay a step."""
    _, rule, loop, *_ = game
    flat, delta = loop.Q[0].reshape(-1), loop.gains[i] + rule.discount * loop.worths[i] - loop.Q[0][q]
    actions = _choices(game, i, q[0])[1]
    # Watkins: what led to an action that isn't the best learns nothing from it
    cut = rule.target == _MAXIMUM and loop.Q[0][q[0], actions].max() > loop.Q[0][q]
    held, own = 0 if cut else loop.held[i], int(np.ravel_multi_index(q, loop.visits.shape))
    traces = _faded(rule, loop.memory[i, :held], loop.weights[i, :held], own)[-loop.memory.shape[1] :]
    for k, (pair, e) in enumerate(traces):
        loop.memory[i, k], loop.weights[i, k] = pair, e
        flat[pair] += _rate(game, pair) * delta * e
    loop.sums[i, 1] += abs(delta)
    loop.held[i] = 0 if ended else len(traces)


def _faded(rule, pairs, traces, own):
    """Return (pair, trace) one step later, the pair just visited as the last."""
    faded = traces * (rule.discount * rule.trace_decay)
    again = faded[pairs == own].sum() if not rule.replacing else 0.0
    kept = [(int(p), float(e)) for p, e in zip(pairs, faded) if p != own and e >= _NEGLIGIBLE]
    return [*kept, (own, 1 + again)]


def _chosen(game, i, state):
    """Return the pair that the rule of exploration takes in a state."""
    _, rule, loop, _, level = game
    first, actions = _choices(game, i, state)
    explore, pick = (_drawn(loop.clock[i], purpose) for purpose in (_EXPLORE, _PICK))
    if rule.exploration == _GREEDY and level > 0 and explore < level:
        return first + _below(pick, len(actions))
    scores = _scores(game, state, actions)
    if rule.exploration == _SOFTMAX:
        return first + _drawn_softly(scores, level, explore)
    ties = np.flatnonzero(scores == scores.max())
    return first + ties[_below(pick, len(ties))]


def _drawn_softly(scores, temperature, u):
    soft = _softened(scores, temperature)
    left, k = u * sum(soft), 0
    while k < len(soft) - 1 and left >= soft[k]:
        left, k = left - soft[k], k + 1
    return k


def _expected(game, i, state):
    """Return the mean of Q(s, .) under the policy that explores."""
    _, rule, loop, _, level = game
    actions = _choices(game, i, state)[1]
    scores, values = _scores(game, state, actions), loop.Q[:, state, actions].mean(axis=0)
    if rule.exploration == _GREEDY:
        return (1 - level) * scores.max() + level * (sum(values) / len(values))
    weights = _softened(scores, level) if rule.exploration == _SOFTMAX else 1.0 * (scores == scores.max())
    return sum(weights * values) / sum(weights)


def _scores(game, state, actions):
    """Return the values of the choices, with a bonus for what was seldom tried where UCB explores."""
    _, rule, loop, _, level = game
    values, tried = loop.Q[:, state, actions].mean(axis=0), loop.visits[state, actions]
    if rule.exploration != _UCB:
        return values
    # Q + c sqrt(ln N(s) / N(s, a))
    spread = math.log(max(1, tried.sum()))
    bonus = [level * math.sqrt(spread / n) if n else math.inf for n in tried.tolist()]
    return values + np.array(bonus)


def _softened(scores, temperature):
    """Return exp((Q - max) / temperature)."""
    return np.array([math.exp((score - scores.max()) / temperature) for score in scores])


def _choices(game, i, state):
    """Return the first pair of a state in a copy's world, and the actions of its pairs."""
    worlds, n_actions = game[0], game[2].Q.shape[2]
    if worlds is None:
        return state * n_actions, np.arange(n_actions)
    first, end = worlds.offsets[worlds.world_of[i] * worlds.starts.shape[1] + state :][:2]
    return first, worlds.pair_actions[first:end]


def _action(game, state, pair):
    return pair - state * game[2].Q.shape[2] if game[0] is None else game[0].pair_actions[pair]


def _rate(game, pair):
    _, rule, loop, rate, _ = game
    n = loop.visits.reshape(-1)[pair]
    return {_COUNTED: 1 / n, _RESCALED: 1 / (1 + rate * (n - 1))}.get(rule.rate, rate)


def _finish(loop, i, row):
    """Write down an episode that ended, and let the copy begin another."""
    clock, sums = loop.clock[i], loop.sums[i]
    loop.finished[row] = sums[0], clock[2], sums[1] / clock[2]
    loop.sums[i], loop.places[i] = 0, -1
    clock[1:3] = clock[1] + 1, 0
    loop.done[1] += 1


def _share_done(rule, loop):
    steps, episodes = loop.done[0] / rule.total_steps, rule.total_episodes and loop.done[1] / rule.total_episodes
    return max(steps, episodes)


def _scheduled(knots, share):
    return knots[min(int(share * len(knots)), len(knots) - 1)]


def _found(cumulative, u):
    """Return the first place whose cumulated probability exceeds u."""
    return min(int(np.searchsorted(cumulative, u, side="right")), len(cumulative) - 1)


def _drawn(clock, purpose):
    """Return a number in [0, 1) that depends on the seed, the copy, its episode, the step and the purpose alone."""
    stream = _episode_stream(int(clock[0]) + 1, int(clock[1]))
    return _uniform(_episode_stream(stream, int(clock[2])), purpose)


def _below(u, n):
    return int(u * n)


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


def _check(worlds, rule, loop):
    n_copies, shape = len(loop.places), (worlds.starts.shape[1], worlds.n_actions)
    if loop.Q.shape[1:] != shape or loop.visits.shape != shape or len(loop.Q) not in (1, 2):
        raise ValueError(f"Q and visits must be tables of shape {shape}.")
    if len(worlds.world_of) != n_copies or not n_copies or len(loop.finished) < n_copies:
        raise ValueError("The arrays of copies must agree in length.")
    if len(worlds.offsets) != worlds.starts.size + 1 or worlds.offsets[-1] != len(worlds.pair_actions):
        raise ValueError("offsets must have an entry per state and world, and one more.")
    codes = (worlds.pair_actions, shape[1]), (worlds.next_states, shape[0]), (worlds.world_of, len(worlds.starts))
    if any(len(code) and not 0 <= code.min() <= code.max() < end for code, end in codes):
        raise ValueError("Actions, states or worlds lie outside the tables.")
    if rule.n_steps < 1 or rule.total_steps < 1 or (len(loop.Q) == 2 and (rule.target or rule.trace_decay)):
        raise ValueError("The rule cannot be followed.")


def _check_moves(rule, loop, moved, begins, actions):
    if not len(loop.Q.shape) == 3 or loop.visits.shape != loop.Q.shape[1:] or rule.n_steps < 1 or rule.total_steps < 1:
        raise ValueError("Q and visits must be tables of the same shape, and the rule one that can be followed.")
    if not len(begins) == len(actions) == len(loop.places) <= len(loop.finished):
        raise ValueError("begins, actions and the arrays of copies must agree in length.")
    states = np.concatenate([begins, loop.moves[:, 0] if moved else begins])
    if states.min() < 0 or states.max() >= loop.Q.shape[1]:
        raise ValueError("A copy is in a state outside the table.")
    if moved and ((loop.moves[:, 2] < _IDLE) & (loop.places[:, _PAIR] < 0)).any():
        raise ValueError("A copy moved without an action.")
