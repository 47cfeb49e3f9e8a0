"""Stochastic gradient descent over interactions: shuffled orders, ratings, and rankings with drawn negatives."""

from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport int32_t, int64_t, uint64_t

cdef extern from "interaction_sgd.hpp" namespace "skml_sgd" nogil:
    cdef cppclass Model[T]:
        T* U
        T* V
        T* user_bias
        T* item_bias
        const T* user_share
        const T* item_share
        Py_ssize_t n_users, n_items, width
        T eta, users, items, user_biases, item_biases
    cdef cppclass Interactions[T]:
        const int32_t* users
        const int32_t* items
        const int32_t* order
        const T* values
        const T* weights
    cdef cppclass Negatives:
        const int32_t* members
        const int32_t* indptr
        const int32_t* indices
        Py_ssize_t each
        uint64_t key
    void shuffle(int32_t*, Py_ssize_t, Py_ssize_t, uint64_t) noexcept
    double explicit_block[T](const Model[T]&, const Interactions[T]&, Py_ssize_t, Py_ssize_t) noexcept
    bint implicit_block[T](const Model[T]&, const Interactions[T]&, Negatives, const int32_t*, Py_ssize_t, bint,
                           Py_ssize_t, Py_ssize_t, double*) noexcept

include "checks.pxi"


cdef int _check_blocks(const int64_t[::1] starts, const int64_t[::1] stops, const int32_t[::1] order,
                       Py_ssize_t n) except -1:
    """Raise unless blocks are slices of `order`, one after the other or apart, that point at interactions."""
    cdef Py_ssize_t b
    _same((starts.shape[0], stops.shape[0]), "starts and stops")
    for b in range(starts.shape[0]):
        if not 0 <= starts[b] <= stops[b] <= order.shape[0]:
            raise ValueError(f"Block {b} goes from {starts[b]} to {stops[b]}, outside 0 to {order.shape[0]}.")
        _check_indices(order[starts[b]:stops[b]], "order", 0, n)
    return 0


cdef int _check_apart(const int64_t[::1] starts, const int64_t[::1] stops) except -1:
    cdef int64_t start, end = 0
    for start, stop in sorted(zip(starts, stops)):
        if start < end:
            raise ValueError(f"Blocks overlap at position {start}.")
        end = max(end, <int64_t> stop)
    return 0


cdef int _check_model(tuple users, tuple items, tuple widths, Py_ssize_t itemsize, Py_ssize_t n_rates) except -1:
    """Raise unless biases and shares are there for all rows or for none, and rows are whole vectors."""
    for name, sizes in (("users", users), ("items", items)):
        if any(size not in (0, sizes[0]) for size in sizes) or sizes[0] == 0:
            raise ValueError(f"The factors, biases and shares of {name} have {sizes} rows.")
    if widths[0] != widths[1] or widths[0] == 0 or widths[0] * itemsize % 64:
        raise ValueError(f"Rows of factors have {widths[:2]} columns; both must fill the same multiple of 64 bytes.")
    if widths[2] * itemsize != 64:
        raise ValueError(f"item_bias has {widths[2]} columns; they must fill 64 bytes.")
    if (users[1] == 0) != (items[1] == 0):
        raise ValueError("Biases are learned on both sides or on none.")
    if n_rates != 5:
        raise ValueError(f"There are {n_rates} rates, expected 5.")
    return 0


def shuffle_blocks(
    int32_t[::1] order,  # in, out
    const int64_t[::1] starts,  # in: where each block starts in `order`
    const int64_t[::1] stops,  # in: where it ends; blocks are apart
    uint64_t key,
    int n_threads,
):
    """Shuffle each block of `order`; the swap at a position depends on the key and the position alone."""
    cdef Py_ssize_t b
    _check_threads(n_threads)
    _same((starts.shape[0], stops.shape[0]), "starts and stops")
    for b in range(starts.shape[0]):
        if not 0 <= starts[b] <= stops[b] <= order.shape[0]:
            raise ValueError(f"Block {b} goes from {starts[b]} to {stops[b]}, outside 0 to {order.shape[0]}.")
    _check_apart(starts, stops)
    if order.shape[0] == 0:
        return
    for b in prange(starts.shape[0], nogil=True, num_threads=n_threads, schedule="dynamic"):
        shuffle(&order[0], starts[b], stops[b], key)


def rate_blocks(
    const int32_t[::1] users,  # in: (n,)
    const int32_t[::1] items,  # in: (n,)
    const floating[::1] values,  # in: (n,), what the model should say
    const floating[::1] weights,  # in: (n,), or empty: 1
    const int32_t[::1] order,  # in: interactions in the order of their steps
    const int64_t[::1] starts,  # in: per block, its first position in `order`
    const int64_t[::1] stops,  # in: per block; no two blocks share a user or an item
    floating[:, ::1] U,  # in, out: (n_users, width), rows padded with zeros to a multiple of 64 bytes
    floating[:, ::1] V,  # in, out: (n_items, width)
    floating[::1] user_bias,  # in, out: (n_users,), or empty: none
    floating[:, ::1] item_bias,  # in, out: (n_items, 64 bytes), the bias and unused space; or no rows: none
    const floating[::1] user_share,  # in: (n_users,), what a row's penalties are multiplied with, or empty: 1
    const floating[::1] item_share,  # in: (n_items,), or empty: 1
    const floating[::1] rates,  # in: learning rate; pulls to 0 of users, items, user biases, item biases
    double[::1] losses,  # out: per block, the sum of w e^2 / 2, each error taken before its step
    int n_threads,
):
    """Go one step per position of each block down the squared error."""
    cdef Model[floating] m
    cdef Interactions[floating] x
    cdef Py_ssize_t b, n = users.shape[0]
    _check_threads(n_threads)
    _same((n, items.shape[0], values.shape[0], weights.shape[0] or n), "users, items, values and weights")
    _same((starts.shape[0], losses.shape[0]), "starts and losses")
    _check_blocks(starts, stops, order, n)
    _check_apart(starts, stops)
    _check_model((U.shape[0], user_bias.shape[0], user_share.shape[0]),
                 (V.shape[0], item_bias.shape[0], item_share.shape[0]), (U.shape[1], V.shape[1], item_bias.shape[1]),
                 sizeof(floating), rates.shape[0])
    losses[:] = 0
    if n == 0 or order.shape[0] == 0:
        return
    m.U, m.V, m.n_users, m.n_items, m.width = &U[0, 0], &V[0, 0], U.shape[0], V.shape[0], U.shape[1]
    if user_bias.shape[0]:
        m.user_bias = &user_bias[0]
    if item_bias.shape[0]:
        m.item_bias = &item_bias[0, 0]
    if user_share.shape[0]:
        m.user_share = &user_share[0]
    if item_share.shape[0]:
        m.item_share = &item_share[0]
    m.eta, m.users, m.items, m.user_biases, m.item_biases = rates[0], rates[1], rates[2], rates[3], rates[4]
    x.users, x.items, x.order, x.values = &users[0], &items[0], &order[0], &values[0]
    if weights.shape[0]:
        x.weights = &weights[0]
    for b in prange(starts.shape[0], nogil=True, num_threads=n_threads, schedule="dynamic"):
        losses[b] = explicit_block(m, x, starts[b], stops[b])
    for b in range(starts.shape[0]):
        if losses[b] == -1:
            raise ValueError(f"A user or an item of block {b} is outside the factors.")


def rank_blocks(
    bint bpr,  # pairs of a seen and an unseen item; otherwise the logistic loss of each alone
    const int32_t[::1] users,  # in: (n,)
    const int32_t[::1] items,  # in: (n,)
    const floating[::1] weights,  # in: (n,), or empty: 1
    const int32_t[::1] order,  # in: interactions in the order of their steps
    const int64_t[::1] starts,  # in: per block, its first position in `order`
    const int64_t[::1] stops,  # in: per block; no two blocks share a user or an item
    const int32_t[::1] members,  # in: items, those of a block next to each other
    const int32_t[::1] member_starts,  # in: (n_blocks + 1,), where each block's items start in `members`
    const int32_t[::1] indptr,  # in: (n_users + 1,)
    const int32_t[::1] indices,  # in: the items that each user has seen, ascending
    floating[:, ::1] U,  # in, out: (n_users, width), rows padded with zeros to a multiple of 64 bytes
    floating[:, ::1] V,  # in, out: (n_items, width)
    floating[::1] user_bias,  # in, out: (n_users,), or empty: none
    floating[:, ::1] item_bias,  # in, out: (n_items, 64 bytes), the bias and unused space; or no rows: none
    const floating[::1] rates,  # in: learning rate; pulls to 0 of users, items, user biases, item biases
    Py_ssize_t n_negatives,  # unseen items drawn per interaction
    uint64_t key,  # of the draws
    double[:, ::1] losses,  # out: per block, the sum of w times the loss before each step, and the sum of w
    int n_threads,
):
    """Go down the loss of each interaction and of unseen items of the same block drawn for it."""
    cdef Model[floating] m
    cdef Interactions[floating] x
    cdef Negatives s
    cdef Py_ssize_t b, n = users.shape[0]
    cdef int broken = 0
    _check_threads(n_threads)
    _same((n, items.shape[0], weights.shape[0] or n), "users, items and weights")
    _same((starts.shape[0], losses.shape[0], member_starts.shape[0] - 1), "starts, losses and blocks of members")
    _check_blocks(starts, stops, order, n)
    _check_apart(starts, stops)
    _check_model((U.shape[0], user_bias.shape[0]), (V.shape[0], item_bias.shape[0]), (U.shape[1], V.shape[1], item_bias.shape[1]),
                 sizeof(floating), rates.shape[0])
    _same((U.shape[0], indptr.shape[0] - 1), "The factors and indptr")
    _check_indptr(indptr, indices.shape[0], indices.shape[0])
    _check_indices(members, "members", 0, V.shape[0])
    for b in range(starts.shape[0]):
        if not 0 <= member_starts[b] <= member_starts[b + 1] <= members.shape[0]:
            raise ValueError(f"The members of block {b} are outside 0 to {members.shape[0]}.")
    if losses.shape[1] != 2 or n_negatives < 0:
        raise ValueError("losses needs two columns, and n_negatives must not be negative.")
    losses[:, :] = 0
    if n == 0 or order.shape[0] == 0 or members.shape[0] == 0 or indices.shape[0] == 0:
        return
    m.U, m.V, m.n_users, m.n_items, m.width = &U[0, 0], &V[0, 0], U.shape[0], V.shape[0], U.shape[1]
    if user_bias.shape[0]:
        m.user_bias = &user_bias[0]
    if item_bias.shape[0]:
        m.item_bias = &item_bias[0, 0]
    m.eta, m.users, m.items, m.user_biases, m.item_biases = rates[0], rates[1], rates[2], rates[3], rates[4]
    x.users, x.items, x.order = &users[0], &items[0], &order[0]
    if weights.shape[0]:
        x.weights = &weights[0]
    s.members, s.indptr, s.indices, s.each, s.key = &members[0], &indptr[0], &indices[0], n_negatives, key
    for b in prange(starts.shape[0], nogil=True, num_threads=n_threads, schedule="dynamic"):
        if not implicit_block(m, x, s, &member_starts[0], b, bpr, starts[b], stops[b], &losses[b, 0]):
            broken = 1
    if broken:
        raise ValueError("A user or an item is outside the factors.")
