"""Centred copies of cache-sized blocks, and the products that PCA sums over them.

Every function works on one block or run of blocks with one thread and without the GIL: the caller splits the data
at boundaries that don't depend on the number of threads, so sums keep their order and results their bits.
"""

from libc.stdlib cimport calloc, free

cdef extern from "moments.hpp" namespace "skml" nogil:
    void centre_dense[S, R](const S *X, const R *shift, R *out, double *total, Py_ssize_t n_rows,
                            Py_ssize_t n_features) noexcept

cdef extern from "panels.hpp" namespace "skml" nogil:
    Py_ssize_t packed_size(Py_ssize_t n_rows, Py_ssize_t n_columns) noexcept
    void scatter_rows "skml::add_scatter"[R](
        const R *X, Py_ssize_t row_step, Py_ssize_t column_step, const R *shift, const double *scale, R *space,
        double *total, double *scatter, Py_ssize_t n_rows, Py_ssize_t n_features) noexcept
    void gram_columns "skml::add_gram"[S](
        const S *X, Py_ssize_t row_step, Py_ssize_t column_step, const double *scale, double *space,
        double *mean, double *gram, Py_ssize_t n_rows, Py_ssize_t n_columns) noexcept

cdef extern from "projection.hpp" namespace "skml" nogil:
    Py_ssize_t projection_space(Py_ssize_t k) noexcept
    void project_rows "skml::project"[S, R](
        const S *X, Py_ssize_t row_step, Py_ssize_t column_step, const R *mean, const R *V, Py_ssize_t V_row_step,
        Py_ssize_t V_column_step, R *space, R *out, Py_ssize_t n_rows, Py_ssize_t n_features, Py_ssize_t k) noexcept

ctypedef fused source:
    float
    double

ctypedef fused real:
    float
    double


cdef void *zeros(Py_ssize_t n, size_t itemsize) except NULL:
    """Return working space, zeroed so that the padding of panels is never uninitialised."""
    cdef void *space = calloc(n, itemsize)
    if space == NULL:
        raise MemoryError(f"{n * itemsize} bytes of working space for a product")
    return space


cdef void centre_rows(const source[:, :] X, const real[::1] shift, const double[::1] scale, real[:, ::1] out,
                      double[::1] total) noexcept nogil:
    cdef Py_ssize_t i, j, n_rows = X.shape[0], n_features = X.shape[1]
    cdef real factor, value
    cdef double weight
    cdef bint weighted = scale.shape[0] > 0
    if weighted:
        for i in range(n_rows):
            weight = scale[i]
            factor = <real>weight
            for j in range(n_features):
                value = factor * (<real>X[i, j] - shift[j])
                out[i, j] = value
                total[j] += weight * value
    elif X.strides[1] <= X.strides[0]:
        for i in range(n_rows):
            for j in range(n_features):
                value = <real>X[i, j] - shift[j]
                out[i, j] = value
                total[j] += value
    else:
        for j in range(n_features):
            for i in range(n_rows):
                value = <real>X[i, j] - shift[j]
                out[i, j] = value
                total[j] += value


cdef void centre_block(const source[:, :] X, const real[::1] shift, const double[::1] scale, real[:, ::1] out,
                       double[::1] total) noexcept nogil:
    cdef Py_ssize_t n_rows = X.shape[0], n_features = X.shape[1]
    if n_rows == 0 or n_features == 0:
        return
    if scale.shape[0] == 0 and X.strides[1] == sizeof(source) and X.strides[0] == n_features * sizeof(source):
        centre_dense(&X[0, 0], &shift[0], &out[0, 0], &total[0], n_rows, n_features)
    else:
        centre_rows(X, shift, scale, out, total)


def centre(const source[:, :] X, const real[::1] shift, const double[::1] scale, real[:, ::1] out, double[::1] total):
    """Write ``scale * (X - shift)`` to `out` and add its `scale`-weighted column sums to `total`.

    Parameters
    ----------
    X : array of shape (n_rows, n_features)
        # in. Any strides.
    shift : array of shape (n_features,)
        # in. What is subtracted from each row.
    scale : array of shape (n_rows,) or (0,)
        # in. The square roots of the weights; empty for none.
    out : array of shape (n_rows, n_features)
        # out. The centred rows.
    total : array of shape (n_features,)
        # in, out. Gains the sum over the rows of ``scale**2 * (X - shift)``.
    """
    if shift.shape[0] != X.shape[1] or total.shape[0] != X.shape[1]:
        raise ValueError("shift and total must have one entry per column of X")
    if out.shape[0] != X.shape[0] or out.shape[1] != X.shape[1]:
        raise ValueError("out must have the shape of X")
    if scale.shape[0] != 0 and scale.shape[0] != X.shape[0]:
        raise ValueError("scale must be empty or have one entry per row of X")
    with nogil:
        centre_block(X, shift, scale, out, total)


def add_scatter(const real[:, :] X, const real[::1] shift, const double[::1] scale, double[::1] total,
                double[:, ::1] scatter):
    """Add ``B.T @ B`` with ``B = scale * (X - shift)`` to the lower triangle of `scatter`, some rows at a time.

    Parameters
    ----------
    X : array of shape (n_rows, n_features)
        # in. Any strides.
    shift : array of shape (n_features,)
        # in. What is subtracted from each row.
    scale : array of shape (n_rows,) or (0,)
        # in. The square roots of the weights; empty for none.
    total : array of shape (n_features,)
        # in, out. Gains the sum over the rows of ``scale**2 * (X - shift)``.
    scatter : array of shape (n_features, n_features)
        # in, out. Its lower triangle gains the products; the rest is left alone.
    """
    cdef Py_ssize_t n_features = X.shape[1]
    if n_features == 0 or shift.shape[0] != n_features or total.shape[0] != n_features:
        raise ValueError("X must have columns, and shift and total one entry per column of X")
    if scatter.shape[0] != n_features or scatter.shape[1] != n_features:
        raise ValueError("scatter must be square with one row per column of X")
    if scale.shape[0] != 0 and scale.shape[0] != X.shape[0]:
        raise ValueError("scale must be empty or have one entry per row of X")
    if X.shape[0] == 0:
        return
    cdef const double *factors = &scale[0] if scale.shape[0] else NULL
    cdef real *space = <real *>zeros(packed_size(X.shape[0], n_features), sizeof(real))
    with nogil:
        scatter_rows(&X[0, 0], X.strides[0], X.strides[1], &shift[0], factors, space, &total[0], &scatter[0, 0],
                     X.shape[0], n_features)
    free(space)


def add_gram(const source[:, :] X, const double[::1] scale, double[::1] mean, double[:, ::1] gram):
    """Centre columns by their weighted means and add ``B @ B.T`` to the lower triangle of `gram`.

    Parameters
    ----------
    X : array of shape (n_rows, n_columns)
        # in. Some columns of the data, all rows; any strides.
    scale : array of shape (n_rows,) or (0,)
        # in. The square roots of the weights; empty for none.
    mean : array of shape (n_columns,)
        # out. The weighted means of the columns.
    gram : array of shape (n_rows, n_rows)
        # in, out. Its lower triangle gains the products; the rest is left alone.
    """
    cdef Py_ssize_t n_rows = X.shape[0], n_columns = X.shape[1]
    if n_rows == 0 or n_columns == 0 or mean.shape[0] != n_columns:
        raise ValueError("X must have rows and columns, and mean one entry per column")
    if gram.shape[0] != n_rows or gram.shape[1] != n_rows:
        raise ValueError("gram must be square with one row per row of X")
    if scale.shape[0] != 0 and scale.shape[0] != n_rows:
        raise ValueError("scale must be empty or have one entry per row of X")
    cdef const double *factors = &scale[0] if scale.shape[0] else NULL
    cdef double *space = <double *>zeros(packed_size(n_columns, n_rows), sizeof(double))
    with nogil:
        gram_columns(&X[0, 0], X.strides[0], X.strides[1], factors, space, &mean[0], &gram[0, 0], n_rows, n_columns)
    free(space)


def project(const source[:, :] X, const real[::1] mean, const real[:, :] V, real[:, ::1] out):
    """Write ``(X - mean) @ V`` to `out`.

    Parameters
    ----------
    X : array of shape (n_rows, n_features)
        # in. Any strides.
    mean : array of shape (n_features,)
        # in. What is subtracted from each row.
    V : array of shape (n_features, n_vectors)
        # in. Any strides.
    out : array of shape (n_rows, n_vectors)
        # out. The products.
    """
    cdef Py_ssize_t n_rows = X.shape[0], n_features = X.shape[1], k = V.shape[1]
    if mean.shape[0] != n_features or V.shape[0] != n_features:
        raise ValueError("mean and V must have one row per column of X")
    if out.shape[0] != n_rows or out.shape[1] != k:
        raise ValueError("out must have a row per row of X and a column per vector")
    if n_features == 0:
        out[...] = 0
    if n_rows == 0 or n_features == 0 or k == 0:
        return
    cdef real *space = <real *>zeros(projection_space(k), sizeof(real))
    with nogil:
        project_rows(&X[0, 0], X.strides[0], X.strides[1], &mean[0], &V[0, 0], V.strides[0], V.strides[1], space,
                     &out[0, 0], n_rows, n_features, k)
    free(space)
