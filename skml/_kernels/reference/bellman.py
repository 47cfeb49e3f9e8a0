"""Twin of bellman.pyx: sweeps of the Bellman operator over a sparse table, in plain NumPy."""

import numpy as np


def sweep(
    firsts, lasts, indptr, indices, data, rewards, discount, v, w, pairs, change, first, last, block_size, in_place,
    backward, n_threads,
):  # fmt: skip
    """w(s) = max over a of r(s, a) + discount sum over s' of p(s' | s, a) v(s'), for some states."""
    _check((firsts, lasts), (indptr, indices, data, rewards), (v, w, pairs), (change, first, last, block_size))
    for block in range(first // block_size, -(-last // block_size)):
        low, high = block * block_size, (block + 1) * block_size
        states = range(max(first, low), min(last, high))
        for s in reversed(states) if backward else states:
            values = np.concatenate([v[:low], w[low:high], v[high:]])[: len(v)] if in_place else v
            q = rewards[firsts[s] : lasts[s]] + discount * _expected(indptr, indices, data, values, firsts[s], lasts[s])
            w[s], pairs[s] = (q.max(), firsts[s] + q.argmax()) if len(q) else (0, -1)
            if len(q):
                change[block] = min(change[block, 0], w[s] - v[s]), max(change[block, 1], w[s] - v[s])


def pair_values(indptr, indices, data, rewards, discount, v, q, first, last, n_threads):
    """q(s, a) = r(s, a) + discount sum over s' of p(s' | s, a) v(s'), for some pairs."""
    _check_table(indptr, indices, data, rewards, len(v))
    if len(q) != len(rewards) or not 0 <= first <= last <= len(q):
        raise ValueError(f"Pairs {first} to {last} are not within 0 to {len(rewards)}.")
    q[first:last] = rewards[first:last] + discount * _expected(indptr, indices, data, v, first, last)


def sweep_by_priority(
    firsts, lasts, indptr, indices, data, rewards, discount, before_indptr, before_indices, before_data, v, priority,
    room, tolerance, max_backups, max_work,
):  # fmt: skip
    """Back up the state of the largest priority, again and again; return how many."""
    _check((firsts, lasts), (indptr, indices, data, rewards), (v, v, priority), (np.empty((1, 2)), 0, 0, len(v)))
    work = done = 0
    while done < max_backups and work < max_work and priority.max(initial=-1) > tolerance:
        s = priority.argmax()
        q = rewards[firsts[s] : lasts[s]] + discount * _expected(indptr, indices, data, v, firsts[s], lasts[s])
        change, v[s], priority[s] = abs(q.max(initial=-np.inf if len(q) else 0) - v[s]), q.max() if len(q) else 0, 0
        earlier = slice(before_indptr[s], before_indptr[s + 1])
        np.add.at(priority, before_indices[earlier], discount * before_data[earlier] * change)
        work += 8 + indptr[lasts[s]] - indptr[firsts[s]] + 4 * (earlier.stop - earlier.start)
        done += 1
    return done


def _expected(indptr, indices, data, values, first, last):
    """Return sum over s' of p(s' | s, a) v(s') for the pairs first to last."""
    rows = [slice(indptr[pair], indptr[pair + 1]) for pair in range(first, last)]
    return np.array([data[row] @ values[indices[row]] for row in rows], dtype=np.float64)


def _check(choices, table, values, blocks):
    firsts, lasts = choices
    v, w, pairs = values
    change, first, last, block_size = blocks
    n = len(firsts)
    _check_table(*table, len(v))
    if len({n, len(lasts), len(v) - 1, len(w) - 1, len(pairs)}) > 1:
        raise ValueError("firsts, lasts, v, w and pairs must agree in length.")
    if block_size < 1 or not 0 <= first <= last <= n or change.shape[1] != 2:
        raise ValueError(f"States {first} to {last} are not within 0 to {n}.")
    if n and not (np.min(firsts) >= 0 and np.all(firsts <= lasts) and np.max(lasts) <= len(table[3])):
        raise ValueError("firsts, lasts, indptr or indices point outside the table.")


def _check_table(indptr, indices, data, rewards, n_values):
    if len(indptr) != len(rewards) + 1 or len(indices) != len(data):
        raise ValueError("rewards and the rows of indptr, and indices and data, must agree in length.")
    if np.any(np.diff(indptr) < 0) or indptr[0] < 0 or indptr[-1] > len(data):
        raise ValueError("firsts, lasts, indptr or indices point outside the table.")
    if len(indices) and (indices.min() < 0 or indices.max() >= n_values):
        raise ValueError("firsts, lasts, indptr or indices point outside the table.")
