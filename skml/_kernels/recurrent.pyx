"""Recurrent cells (plain, GRU, LSTM) over whole sequences, forward and backward, in one call each."""

import numpy as np

from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport int32_t

cdef extern from "recurrent.hpp" namespace "skml_recurrent" nogil:
    cdef cppclass Sequence[T]:
        Py_ssize_t B, T_, H, input_step
        int cell, activation
        const int32_t* first
        const int32_t* codes
        const T* panels
        const T* inputs
        const T* bias
        const T* dy
        T* state
        T* kept
        T* before
        T* cells
        T* y
    Py_ssize_t n_gates(int) noexcept
    Py_ssize_t n_kept(int) noexcept
    Py_ssize_t space_of[T](int, Py_ssize_t, Py_ssize_t, const T*) noexcept
    Py_ssize_t c_packed_size "skml_recurrent::packed_size"[T](Py_ssize_t, Py_ssize_t, const T*) noexcept
    void forward_rows[T](const Sequence[T]&, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, T*) noexcept
    void backward_rows[T](const Sequence[T]&, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, T*) noexcept

cdef extern from "matrices.hpp" namespace "skml_matrices" nogil:
    Py_ssize_t width_of[T](const T*) noexcept
    T* aligned[T](T*) noexcept
    void pack_panel[T](const T*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, T*) noexcept

include "checks.pxi"

from skml._kernels import breathe

cdef enum:
    ALONE = 1048576  # multiplications for which a second thread doesn't pay
    LONG = 4294967296  # those after which signals are seen to
    LSTM = 2


def packed_size(
    Py_ssize_t depth,  # the rows of a matrix
    Py_ssize_t columns,
):
    """Return how many numbers a packed matrix has."""
    return max(c_packed_size(depth, columns, <const float*> NULL), c_packed_size(depth, columns, <const double*> NULL))


def pack(
    const floating[:, :] w,  # in: (depth, columns), any strides
    floating[::1] packed,  # out: at least packed_size numbers
):
    """Write a matrix in the order in which `forward` (with w) and `backward` (with its transpose) read it."""
    cdef Py_ssize_t depth = w.shape[0], columns = w.shape[1], j, width, size = sizeof(floating)
    _check_strides(w.strides[0], w.strides[1], size, "w")
    if packed.shape[0] < packed_size(depth, columns):
        raise ValueError(f"packed holds {packed.shape[0]} numbers, {packed_size(depth, columns)} are needed.")
    if depth == 0 or columns == 0:
        return
    cdef floating* to = aligned(&packed[0])
    width = width_of(to)
    for j in range(0, columns, width):
        pack_panel(&w[0, j], w.strides[0] // size, w.strides[1] // size, depth, columns - j, to + j * depth)


cdef int _check(int cell, int activation, tuple shape, tuple arrays, Py_ssize_t packed) except -1:
    """Raise unless arrays, each (name, its shape, what is needed), fit; absent ones are of no size."""
    if not 0 <= cell <= 2 or activation not in (0, 1, 2, 4, 5):
        raise ValueError(f"cell {cell} or activation {activation} is unknown.")
    for name, found, needed in arrays:
        if tuple(found[:len(needed)]) != needed:
            raise ValueError(f"{name} has shape {tuple(found[:len(needed)])}, expected {needed}.")
    if packed < packed_size(*shape):
        raise ValueError(f"The packed weights hold {packed} numbers, {packed_size(*shape)} are needed.")
    return 0


def forward(
    const floating[:, :] inputs,  # in: (N, at least G H), each row contiguous: products with the weights of the input
    const int32_t[:, ::1] codes,  # in: (B, T), rows of inputs; empty where row b T + t is that of row b at moment t
    const floating[::1] packed,  # in: the weights of the state, (H, G H), packed
    const floating[::1] bias,  # in: (K H,)
    const int32_t[:, ::1] first,  # in: (B, T), the state is forgotten at t where it is t; empty for zeros
    floating[:, :, ::1] state,  # in: before the first moment, out: after the last; (1, B, H), of an LSTM (2, B, H)
    floating[:, :, ::1] kept,  # out: (B, T, K H), for `backward`; empty for none
    floating[:, :, ::1] before,  # out: (B, T, H), states before each moment; empty if kept is
    floating[:, :, ::1] cells,  # out: the same of an LSTM's cells; empty for others
    floating[:, :, ::1] y,  # out: (B, T, H), the state after each moment
    int cell,  # 0 plain, 1 GRU, 2 LSTM: G = 1, 3, 4 and K = 1, 4, 4
    int activation,  # of the plain cell: 0 identity, 1 relu, 2 leaky relu, 4 tanh, 5 sigmoid
    int n_threads,
):
    """Run a recurrent cell over sequences."""
    cdef Py_ssize_t B = y.shape[0], T = y.shape[1], H = y.shape[2], GH = n_gates(cell) * H, KH = n_kept(cell) * H
    cdef bint keep = kept.shape[0] > 0
    cdef Sequence[floating] s
    arrays = [("state", state.shape, (1 + (cell == LSTM), B, H)), ("bias", bias.shape, (KH,))]
    if keep:
        arrays += [("kept", kept.shape, (B, T, KH)), ("before", before.shape, (B, T, H))]
    if keep and cell == LSTM:
        arrays += [("cells", cells.shape, (B, T, H))]
    if codes.shape[0]:
        arrays += [("codes", codes.shape, (B, T))]
    if first.shape[0]:
        arrays += [("first", first.shape, (B, T))]
    _check(cell, activation, (H, GH), tuple(arrays), packed.shape[0])
    _check_threads(n_threads)
    if inputs.shape[1] < GH or (inputs.shape[0] > 0 and GH > 1 and inputs.strides[1] != sizeof(floating)):
        raise ValueError(f"inputs need contiguous rows of at least {GH} numbers, got {inputs.shape[1]}.")
    _check_strides(inputs.strides[0], sizeof(floating), sizeof(floating), "inputs")
    if codes.shape[0]:
        _check_indices(np.asarray(codes).reshape(-1), "codes", 0, inputs.shape[0])
    elif B > 0 and inputs.shape[0] != B * T:
        raise ValueError(f"There are {inputs.shape[0]} rows of inputs, expected {B * T}.")
    if B == 0 or T == 0 or H == 0:
        return
    s.B, s.T_, s.H, s.cell, s.activation = B, T, H, cell, activation
    if first.shape[0]:
        s.first = &first[0, 0]
    if codes.shape[0]:
        s.codes = &codes[0, 0]
    s.inputs, s.input_step = &inputs[0, 0], inputs.strides[0] // <Py_ssize_t> sizeof(floating)
    s.panels, s.bias, s.state, s.y = aligned(<floating*> &packed[0]), &bias[0], &state[0, 0, 0], &y[0, 0, 0]
    if keep:
        s.kept, s.before = &kept[0, 0, 0], &before[0, 0, 0]
    if keep and cell == LSTM:
        s.cells = &cells[0, 0, 0]
    _run(s, True, n_threads, np.asarray(y).dtype)


def backward(
    const floating[:, :, ::1] dy,  # in: (B, T, H), at the states that came out
    const floating[::1] packed,  # in: the transposed weights of the state, (G H, H), packed
    const int32_t[:, ::1] first,  # in: as for forward
    floating[:, :, ::1] dstate,  # in: the gradient at the last state, out: at the first; as state
    floating[:, :, ::1] kept,  # in: from forward, out: (B, T, K H), the gradients at the inputs and the bias
    const floating[:, :, ::1] before,  # in: (B, T, H), from forward
    const floating[:, :, ::1] cells,  # in: (B, T, H), from forward; empty for others than LSTM
    int cell,
    int activation,
    int n_threads,
):
    """Carry a gradient back through `forward`; of a GRU the last H columns are at the product within the new state."""
    cdef Py_ssize_t B = dy.shape[0], T = dy.shape[1], H = dy.shape[2], GH = n_gates(cell) * H, KH = n_kept(cell) * H
    cdef Sequence[floating] s
    arrays = [("dstate", dstate.shape, (1 + (cell == LSTM), B, H)), ("kept", kept.shape, (B, T, KH)),
              ("before", before.shape, (B, T, H))]
    if cell == LSTM:
        arrays += [("cells", cells.shape, (B, T, H))]
    if first.shape[0]:
        arrays += [("first", first.shape, (B, T))]
    _check(cell, activation, (GH, H), tuple(arrays), packed.shape[0])
    _check_threads(n_threads)
    if B == 0 or T == 0 or H == 0:
        return
    s.B, s.T_, s.H, s.cell, s.activation = B, T, H, cell, activation
    if first.shape[0]:
        s.first = &first[0, 0]
    s.panels, s.state, s.dy, s.kept = aligned(<floating*> &packed[0]), &dstate[0, 0, 0], &dy[0, 0, 0], &kept[0, 0, 0]
    s.before = <floating*> &before[0, 0, 0]
    if cell == LSTM:
        s.cells = <floating*> &cells[0, 0, 0]
    _run(s, False, n_threads, np.asarray(kept).dtype)


cdef int _run(const Sequence[floating]& s, bint ahead, int n_threads, object dtype) except -1:
    """Go over the moments, in parts that take less than half a second, with the rows shared out among threads."""
    cdef Py_ssize_t work = s.B * s.H * s.H * n_gates(s.cell), step = max(<Py_ssize_t> 1, LONG // max(work, <Py_ssize_t> 1))
    cdef Py_ssize_t threads = min(<Py_ssize_t> n_threads, min(s.B, 1 + work * s.T_ // ALONE)), done = 0, start, stop, i
    cdef const floating* none = NULL
    cdef floating[:, ::1] space = np.empty((threads, space_of(s.cell, s.H, (s.B + threads - 1) // threads, none)), dtype)
    while done < s.T_:
        start = done if ahead else max(<Py_ssize_t> 0, s.T_ - done - step)
        stop = min(s.T_, done + step) if ahead else s.T_ - done
        for i in prange(threads, nogil=True, num_threads=<int> threads, schedule="static"):
            if ahead:
                forward_rows(s, s.B * i // threads, s.B * (i + 1) // threads, start, stop, &space[i, 0])
            else:
                backward_rows(s, s.B * i // threads, s.B * (i + 1) // threads, start, stop, &space[i, 0])
        done += stop - start
        breathe()
    return 0
