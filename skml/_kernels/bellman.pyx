"""Sweeps of the Bellman operator over the sparse table of a finite decision process."""

from cython.parallel cimport prange
from libc.stdint cimport int32_t, int64_t, uint64_t

cdef extern from "bellman.hpp" namespace "skml_bellman" nogil:
    cdef cppclass Model:
        const int32_t* firsts
        const int32_t* lasts
        const int32_t* indptr
        const int32_t* indices
        const double* data
        const double* rewards
        double discount
        int64_t n_states, n_pairs, n_outcomes
    cdef cppclass Block:
        int64_t first, last
        uint64_t low, size
        bint backward
    cdef cppclass Queue:
        double* priority
        int32_t* heap
        int32_t* place
        int64_t n
        void build() noexcept
    cdef cppclass Predecessors:
        const int32_t* indptr
        const int32_t* indices
        const double* data
    bint sweep_block(const Model&, const double*, double*, int32_t*, bint, const Block&, double*, double*) noexcept
    bint pair_chunk(const Model&, int64_t, int64_t, const double*, double*) noexcept
    int64_t c_sweep_by_priority "skml_bellman::sweep_by_priority"(
        const Model&, const Predecessors&, double*, Queue&, double, int64_t, int64_t) noexcept

include "checks.pxi"


cdef int _check_table(Py_ssize_t n_indptr, Py_ssize_t n_pairs, Py_ssize_t n_indices, Py_ssize_t n_data) except -1:
    _same((n_pairs, n_indptr - 1), "rewards and the rows of indptr")
    _same((n_indices, n_data), "indices and data")
    return 0


cdef int _report(bint broken) except -1:
    """What a sweep met and stepped around: it looks at each index as it uses it, which costs nothing."""
    if broken:
        raise ValueError("firsts, lasts, indptr or indices point outside the table.")
    return 0


cdef inline Block _block(int64_t i, int64_t size, int64_t first, int64_t last, bint backward) noexcept nogil:
    cdef Block b
    b.low, b.size, b.backward = i * size, size, backward
    b.first, b.last = max(first, i * size), min(last, (i + 1) * size)
    return b


def sweep(
    const int32_t[::1] firsts,  # in: (n_states,), state s may take the pairs firsts[s] to lasts[s]
    const int32_t[::1] lasts,
    const int32_t[::1] indptr,  # in: CSR (n_pairs, n_states + 1), probabilities; column n_states is the end
    const int32_t[::1] indices,
    const double[::1] data,
    const double[::1] rewards,  # in: (n_pairs,), expected
    double discount,
    const double[::1] v,  # in: (n_states + 1,), values; the last is that of the end
    double[::1] w,  # out: (n_states + 1,), new values; in place: in as well, not yet swept states as in v
    int32_t[::1] pairs,  # out: (n_states,), the pair taken; -1 where there is none
    double[:, ::1] change,  # in, out: (n_blocks, 2), least and largest of w - v of each block
    int64_t first,  # the states to sweep over in this call
    int64_t last,
    int64_t block_size,  # states in a block; blocks are what threads share
    bint in_place,  # Gauss-Seidel: a block reads its own states from w
    bint backward,  # from the last state to the first
    int n_threads,
):
    """w(s) = max over a of r(s, a) + discount sum over s' of p(s' | s, a) v(s'), for some states."""
    cdef Model m
    cdef int64_t i, n = firsts.shape[0], n_blocks = change.shape[0]
    cdef int broken = 0
    _check_threads(n_threads)
    _check_table(indptr.shape[0], rewards.shape[0], indices.shape[0], data.shape[0])
    _same((n, lasts.shape[0], v.shape[0] - 1, w.shape[0] - 1, pairs.shape[0]), "firsts, lasts, v, w and pairs")
    if block_size < 1 or n_blocks != (n + block_size - 1) // block_size or change.shape[1] != 2:
        raise ValueError("change must have a row of two for each block.")
    if not 0 <= first <= last <= n:
        raise ValueError(f"States {first} to {last} are not within 0 to {n}.")
    if first == last:
        return
    m.firsts, m.lasts, m.n_states = &firsts[0], &lasts[0], n
    m.indptr, m.n_pairs, m.n_outcomes, m.discount = &indptr[0], rewards.shape[0], data.shape[0], discount
    m.rewards = &rewards[0] if m.n_pairs else NULL
    m.indices = &indices[0] if m.n_outcomes else NULL
    m.data = &data[0] if m.n_outcomes else NULL
    for i in prange(first // block_size, (last - 1) // block_size + 1, nogil=True, num_threads=n_threads,
                    schedule="dynamic"):
        broken |= sweep_block(m, &v[0], &w[0], &pairs[0], in_place, _block(i, block_size, first, last, backward),
                              &change[i, 0], &change[i, 1])
    _report(broken)


def pair_values(
    const int32_t[::1] indptr,  # in: CSR (n_pairs, n_states + 1), probabilities
    const int32_t[::1] indices,
    const double[::1] data,
    const double[::1] rewards,  # in: (n_pairs,), expected
    double discount,
    const double[::1] v,  # in: (n_states + 1,), values
    double[::1] q,  # out: (n_pairs,)
    int64_t first,  # the pairs to work out in this call
    int64_t last,
    int n_threads,
):
    """q(s, a) = r(s, a) + discount sum over s' of p(s' | s, a) v(s'), for some pairs."""
    cdef Model m
    cdef int64_t i, n_pairs = rewards.shape[0]
    cdef int broken = 0
    _check_threads(n_threads)
    _check_table(indptr.shape[0], n_pairs, indices.shape[0], data.shape[0])
    _same((n_pairs, q.shape[0]), "rewards and q")
    if not 0 <= first <= last <= n_pairs or v.shape[0] == 0:
        raise ValueError(f"Pairs {first} to {last} are not within 0 to {n_pairs}, or v is empty.")
    if first == last:
        return
    m.indptr, m.rewards, m.discount, m.n_outcomes = &indptr[0], &rewards[0], discount, data.shape[0]
    m.n_states, m.n_pairs = v.shape[0] - 1, n_pairs
    m.indices = &indices[0] if m.n_outcomes else NULL
    m.data = &data[0] if m.n_outcomes else NULL
    for i in prange((last - first + 1023) // 1024, nogil=True, num_threads=n_threads, schedule="static"):
        broken |= pair_chunk(m, first + 1024 * i, min(last, first + 1024 * (i + 1)), &v[0], &q[0])
    _report(broken)


def sweep_by_priority(
    const int32_t[::1] firsts,  # in: (n_states,), state s may take the pairs firsts[s] to lasts[s]
    const int32_t[::1] lasts,
    const int32_t[::1] indptr,  # in: CSR (n_pairs, n_states + 1), probabilities
    const int32_t[::1] indices,
    const double[::1] data,
    const double[::1] rewards,  # in: (n_pairs,), expected
    double discount,
    const int32_t[::1] before_indptr,  # in: CSR (n_states, n_states), row s: who leads to s, and how probably at most
    const int32_t[::1] before_indices,
    const double[::1] before_data,
    double[::1] v,  # in, out: (n_states + 1,), values
    double[::1] priority,  # in, out: (n_states,), bounds of the Bellman errors
    int32_t[:, ::1] room,  # out: (2, n_states)
    double tolerance,  # until no priority is above it
    int64_t max_backups,  # or so many states have been backed up
    int64_t max_work,  # or about so many outcomes and predecessors have been read
):
    """Back up the state of the largest priority, again and again; return how many."""
    cdef Model m
    cdef Queue queue
    cdef Predecessors before
    cdef int64_t done, n = firsts.shape[0]
    _check_table(indptr.shape[0], rewards.shape[0], indices.shape[0], data.shape[0])
    _same((n, lasts.shape[0], v.shape[0] - 1, priority.shape[0], room.shape[1], before_indptr.shape[0] - 1),
          "firsts, lasts, v, priority, room and the rows of before")
    _check_indptr(before_indptr, before_indices.shape[0], before_data.shape[0])
    _check_indices(before_indices, "before_indices", 0, n)
    if room.shape[0] != 2:
        raise ValueError("room must have two rows.")
    if n == 0:
        return 0
    m.firsts, m.lasts, m.n_states, m.discount = &firsts[0], &lasts[0], n, discount
    m.indptr, m.n_pairs, m.n_outcomes = &indptr[0], rewards.shape[0], data.shape[0]
    m.rewards = &rewards[0] if m.n_pairs else NULL
    m.indices = &indices[0] if m.n_outcomes else NULL
    m.data = &data[0] if m.n_outcomes else NULL
    before.indptr = &before_indptr[0]
    before.indices = &before_indices[0] if before_data.shape[0] else NULL
    before.data = &before_data[0] if before_data.shape[0] else NULL
    queue.priority, queue.heap, queue.place, queue.n = &priority[0], &room[0, 0], &room[1, 0], n
    with nogil:
        queue.build()
        done = c_sweep_by_priority(m, before, &v[0], queue, tolerance, max_backups, max_work)
    _report(done < 0)
    return done
