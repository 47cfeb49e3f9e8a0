"""Stochastic gradient descent over interactions in plain NumPy: the definition."""

import numpy as np

_GOLDEN, _MASK, _TRIES = 0x9E3779B97F4A7C15, 2**64 - 1, 64


def shuffle_blocks(order, starts, stops, key, n_threads):
    """Shuffle each block of `order`; the swap at a position depends on the key and the position alone."""
    _check_blocks(order, starts, stops, None)
    for start, stop in zip(starts.tolist(), stops.tolist()):
        for t in range(stop - 1, start, -1):
            other = start + _below(_mixed(int(key) + _GOLDEN * t), t - start + 1)
            order[t], order[other] = order[other], order[t]


def rate_blocks(
    users, items, values, weights, order, starts, stops, U, V, user_bias, item_bias, user_share, item_share, rates,
    losses, n_threads,
):  # fmt: skip
    """Go one step per position of each block down the squared error."""
    _check_blocks(order, starts, stops, len(users))
    _check_model(U, V, (user_bias, item_bias), (user_share, item_share), rates)
    _check_data((users, items, values, weights), (U, V), (starts, losses))
    sides = (U, user_bias, user_share, rates[1], rates[3]), (V, item_bias, item_share, rates[2], rates[4])
    for b, (start, stop) in enumerate(zip(starts, stops)):
        losses[b] = 0
        for o in order[start:stop]:
            w = weights[o] if len(weights) else values.dtype.type(1)
            e = values[o] - _said(sides, users[o], items[o])
            losses[b] += w * 0.5 * np.float64(e) ** 2
            _move(sides, (users[o], items[o]), rates[0] * w, e)


def rank_blocks(
    bpr, users, items, weights, order, starts, stops, members, member_starts, indptr, indices, U, V, user_bias,
    item_bias, rates, n_negatives, key, losses, n_threads):  # fmt: skip
    """Go down the loss of each interaction and of unseen items of the same block drawn for it."""
    _check_blocks(order, starts, stops, len(users))
    _check_model(U, V, (user_bias, item_bias), ((), ()), rates)
    _check_data((users, items, weights), (U, V), (starts, losses))
    _check_drawing((members, member_starts, indptr, indices), (U, V), losses, n_negatives)
    sides = (U, user_bias, (), rates[1], rates[3]), (V, item_bias, (), rates[2], rates[4])
    for b, (start, stop) in enumerate(zip(starts, stops)):
        drawn = _drawing(members[member_starts[b] : member_starts[b + 1]], (indptr, indices), key, n_negatives)
        losses[b] = 0
        for t in range(start, stop):
            u, w = users[order[t]], weights[order[t]] if len(weights) else U.dtype.type(1)
            for loss in _implicit_steps(bpr, sides, (u, items[order[t]]), drawn(u, t), rates[0] * w):
                losses[b] += w * loss, w


def _implicit_steps(bpr, sides, pair, draws, g):
    """Yield the loss before each step that an interaction leads to."""
    if not bpr:
        yield _logistic_step(sides, pair, 1, g)
    for j in draws:
        if j >= 0:
            yield _ranking_step(sides, *pair, j, g) if bpr else _logistic_step(sides, (pair[0], j), 0, g)


def _logistic_step(sides, pair, target, g):
    x = np.float64(_said(sides, *pair))
    _move(sides, pair, g, g.dtype.type(target - 1 / (1 + np.exp(-x))))
    return np.logaddexp(0, -x if target else x)


def _ranking_step(sides, u, i, j, g):
    (U, _, share, pull, _), (V, bias, item_share, item_pull, bias_pull) = sides
    # x_uij = b_i - b_j + p_u . (q_i - q_j), and down -ln s(x_uij)
    x = U[u] @ (V[i] - V[j]) + (bias[i, 0] - bias[j, 0] if len(bias) else 0)
    e = g * g.dtype.type(1 / (1 + np.exp(np.float64(x))))
    p, gap = U[u].copy(), V[i] - V[j]
    U[u] = e * gap + _kept(g, pull, share, u) * p
    for item, sign in ((i, 1), (j, -1)):
        V[item] = sign * e * p + _kept(g, item_pull, item_share, item) * V[item]
        if len(bias):
            bias[item, 0] = sign * e + _kept(g, bias_pull, item_share, item) * bias[item, 0]
    return np.logaddexp(0, -np.float64(x))


def _said(sides, u, i):
    """Return r_ui = b_u + b_i + p_u . q_i."""
    (U, user_bias, *_), (V, item_bias, *_) = sides
    return U[u] @ V[i] + (user_bias[u] + item_bias[i, 0] if len(user_bias) else U.dtype.type(0))


def _move(sides, pair, g, e):
    """Go a step of size g: p <- p + g (e q - penalty p), and the like."""
    others = sides[1][0][pair[1]].copy(), sides[0][0][pair[0]].copy()
    for (rows, bias, share, pull, bias_pull), row, other in zip(sides, pair, others):
        rows[row] = g * e * other + _kept(g, pull, share, row) * rows[row]
        if len(bias):
            own = bias if bias.ndim == 1 else bias[:, 0]
            own[row] = g * e + _kept(g, bias_pull, share, row) * own[row]


def _kept(g, pull, share, row):
    return max(g.dtype.type(0), 1 - g * pull * (share[row] if len(share) else g.dtype.type(1)))


def _drawing(choice, seen, key, n_negatives):
    """Return a function that draws the negatives of a user's interaction at a position."""
    indptr, indices = seen

    def drawn(u, t):
        own = indices[indptr[u] : indptr[u + 1]]
        return [_drawn(choice, own, key, t * n_negatives + c) for c in range(n_negatives)]

    return drawn


def _drawn(choice, seen, key, count):
    """Return an item that the user has not seen, or -1 if none was found."""
    state = _mixed(int(key) ^ _mixed(int(count)))
    for _ in range(_TRIES if len(choice) else 0):
        state += _GOLDEN
        item = choice[_below(_mixed(state), len(choice))]
        if item not in seen:
            return item
    return -1


def _mixed(z):
    """Return 64 random bits: splitmix64 (Steele, Lea & Flood 2014)."""
    z &= _MASK
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & _MASK
    return z ^ (z >> 31)


def _below(random, n):
    return ((random >> 32) * n) >> 32


def _check_blocks(order, starts, stops, n):
    if len(starts) != len(stops) or not all(0 <= a <= b <= len(order) for a, b in zip(starts, stops)):
        raise ValueError("The blocks are no slices of order.")
    end = 0
    for start, stop in sorted(zip(starts, stops)):
        if start < end:
            raise ValueError("Blocks overlap.")
        end = max(end, stop)
        _check_codes(order[start:stop], n)


def _check_codes(codes, n):
    if n is not None and len(codes) and not 0 <= codes.min() <= codes.max() < n:
        raise ValueError(f"There are codes outside 0 to {n - 1}.")


def _check_model(U, V, biases, shares, rates):
    if U.shape[1] != V.shape[1] or not U.shape[1] or U.shape[1] * U.itemsize % 64 or not len(U) or not len(V):
        raise ValueError("Rows of factors must fill the same multiple of 64 bytes.")
    if biases[1].shape[1] * biases[1].itemsize != 64:
        raise ValueError("An item's bias must fill 64 bytes.")
    wrong = any(len(a) not in (0, len(rows)) for pair in (biases, shares) for a, rows in zip(pair, (U, V)))
    if wrong or (len(biases[0]) == 0) != (len(biases[1]) == 0) or len(rates) != 5:
        raise ValueError("Biases, shares or rates do not fit the factors.")


def _check_data(data, factors, blocks):
    users, items, *values, weights = data
    if any(len(a) != len(users) for a in (items, *values)) or len(weights) not in (0, len(users)):
        raise ValueError("users, items, values and weights disagree in length.")
    if len(blocks[0]) != len(blocks[1]):
        raise ValueError("starts and losses disagree in length.")
    _check_codes(users, len(factors[0]))
    _check_codes(items, len(factors[1]))


def _check_drawing(drawing, factors, losses, n_negatives):
    members, member_starts, indptr, indices = drawing
    if losses.shape[1] != 2 or n_negatives < 0 or len(member_starts) != len(losses) + 1:
        raise ValueError("losses, member_starts or n_negatives do not fit.")
    if len(indptr) != len(factors[0]) + 1 or indptr[0] or indptr[-1] != len(indices) or (np.diff(indptr) < 0).any():
        raise ValueError("indptr and indices are not those of a CSR matrix.")
    if member_starts[0] < 0 or member_starts[-1] > len(members) or (np.diff(member_starts) < 0).any():
        raise ValueError("member_starts point outside.")
    _check_codes(members, len(factors[1]))
