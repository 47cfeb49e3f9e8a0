"""Centred copies of cache-sized blocks, and the products that PCA sums over them.

Every function works on one block or run of blocks with one thread and without the GIL: the caller splits the data
at boundaries that don't depend on the number of threads, so sums keep their order and results their bits. For
the same reason BLAS, which the products call, must be limited to one thread meanwhile.
"""

from scipy.linalg.cython_blas cimport dsyrk, ssyrk

cdef extern from "moments.hpp" namespace "skml" nogil:
    void centre_dense[S, R](const S *X, const R *shift, R *out, double *total, Py_ssize_t n_rows,
                            Py_ssize_t n_features) noexcept

ctypedef fused source:
    float
    double

ctypedef fused real:
    float
    double


cdef void centre_rows(const source[:, :] X, const real[::1] shift, const double[::1] scale, real[:, ::1] out,
                      double[::1] total, Py_ssize_t start, Py_ssize_t n_rows) noexcept nogil:
    cdef Py_ssize_t i, j, n_features = X.shape[1]
    cdef real factor, value
    cdef double weight
    cdef bint weighted = scale.shape[0] > 0
    if weighted:
        for i in range(n_rows):
            weight = scale[start + i]
            factor = <real>weight
            for j in range(n_features):
                value = factor * (<real>X[start + i, j] - shift[j])
                out[i, j] = value
                total[j] += weight * value
    elif X.strides[1] <= X.strides[0]:
        for i in range(n_rows):
            for j in range(n_features):
                value = <real>X[start + i, j] - shift[j]
                out[i, j] = value
                total[j] += value
    else:
        for j in range(n_features):
            for i in range(n_rows):
                value = <real>X[start + i, j] - shift[j]
                out[i, j] = value
                total[j] += value


cdef void centre_block(const source[:, :] X, const real[::1] shift, const double[::1] scale, real[:, ::1] out,
                       double[::1] total, Py_ssize_t start, Py_ssize_t n_rows) noexcept nogil:
    cdef Py_ssize_t n_features = X.shape[1]
    if n_rows == 0 or n_features == 0:
        return
    if scale.shape[0] == 0 and X.strides[1] == sizeof(source) and X.strides[0] == n_features * sizeof(source):
        centre_dense(&X[start, 0], &shift[0], &out[0, 0], &total[0], n_rows, n_features)
    else:
        centre_rows(X, shift, scale, out, total, start, n_rows)


cdef void syrk(const char *trans, int n, int k, real *a, int lda, real *c, int ldc) noexcept nogil:
    # BLAS counts by columns: its upper triangle is our lower one.
    cdef float one_f = 1.0
    cdef double one_d = 1.0
    if real is float:
        ssyrk(<char *>b"U", <char *>trans, &n, &k, &one_f, a, &lda, &one_f, c, &ldc)
    else:
        dsyrk(<char *>b"U", <char *>trans, &n, &k, &one_d, a, &lda, &one_d, c, &ldc)


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
        centre_block(X, shift, scale, out, total, 0, X.shape[0])


def add_scatter(const source[:, :] X, const real[::1] shift, const double[::1] scale, real[:, ::1] block,
                double[::1] total, real[:, ::1] scatter):
    """Add ``B.T @ B`` with ``B = scale * (X - shift)`` to the lower triangle of `scatter`, block by block.

    Parameters
    ----------
    X : array of shape (n_rows, n_features)
        # in. Any strides.
    shift : array of shape (n_features,)
        # in. What is subtracted from each row.
    scale : array of shape (n_rows,) or (0,)
        # in. The square roots of the weights; empty for none.
    block : array of shape (block_rows, n_features)
        # out. Working space; its rows set how many rows are taken at a time.
    total : array of shape (n_features,)
        # in, out. Gains the sum over the rows of ``scale**2 * (X - shift)``.
    scatter : array of shape (n_features, n_features)
        # in, out. Its lower triangle gains the products; the rest is left alone.
    """
    cdef Py_ssize_t start, n_rows
    cdef Py_ssize_t n_features = X.shape[1]
    if shift.shape[0] != n_features or total.shape[0] != n_features:
        raise ValueError("shift and total must have one entry per column of X")
    if block.shape[0] == 0 or block.shape[1] != n_features:
        raise ValueError("block must have at least one row and the columns of X")
    if scatter.shape[0] != n_features or scatter.shape[1] != n_features:
        raise ValueError("scatter must be square with one row per column of X")
    if scale.shape[0] != 0 and scale.shape[0] != X.shape[0]:
        raise ValueError("scale must be empty or have one entry per row of X")
    if n_features == 0 or n_features > 2147483647 or block.shape[0] > 2147483647:
        raise ValueError("X must have between 1 and 2**31 - 1 columns")
    with nogil:
        start = 0
        while start < X.shape[0]:
            n_rows = min(block.shape[0], X.shape[0] - start)
            centre_block(X, shift, scale, block, total, start, n_rows)
            syrk(b"N", <int>n_features, <int>n_rows, &block[0, 0], <int>n_features, &scatter[0, 0], <int>n_features)
            start += n_rows


def add_gram(const source[:, :] X, const double[::1] scale, double[:, ::1] block, double[::1] mean,
             double[:, ::1] gram):
    """Centre columns by their weighted means and add ``B @ B.T`` to the lower triangle of `gram`.

    Parameters
    ----------
    X : array of shape (n_rows, n_columns)
        # in. Some columns of the data, all rows; any strides.
    scale : array of shape (n_rows,) or (0,)
        # in. The square roots of the weights; empty for none.
    block : array of shape (n_rows, n_columns)
        # out. The centred and scaled columns.
    mean : array of shape (n_columns,)
        # out. The weighted means of the columns.
    gram : array of shape (n_rows, n_rows)
        # in, out. Its lower triangle gains the products; the rest is left alone.
    """
    cdef Py_ssize_t i, j, n_rows = X.shape[0], n_columns = X.shape[1]
    cdef double weight = 1.0, sum_of_weights = 0.0
    cdef bint weighted = scale.shape[0] > 0
    if n_rows == 0 or n_columns == 0 or n_rows > 2147483647 or n_columns > 2147483647:
        raise ValueError("X must have between 1 and 2**31 - 1 rows and columns")
    if block.shape[0] != n_rows or block.shape[1] != n_columns or mean.shape[0] != n_columns:
        raise ValueError("block must have the shape of X, and mean one entry per column")
    if gram.shape[0] != n_rows or gram.shape[1] != n_rows:
        raise ValueError("gram must be square with one row per row of X")
    if weighted and scale.shape[0] != n_rows:
        raise ValueError("scale must be empty or have one entry per row of X")
    with nogil:
        # Differences from the first row: a constant column then has exactly its constant as mean.
        for j in range(n_columns):
            mean[j] = 0.0
        for i in range(n_rows):
            weight = scale[i] * scale[i] if weighted else 1.0
            sum_of_weights += weight
            for j in range(n_columns):
                block[i, j] = <double>X[i, j] - <double>X[0, j]
                mean[j] += weight * block[i, j]
        for j in range(n_columns):
            mean[j] /= sum_of_weights
        for i in range(n_rows):
            weight = scale[i] if weighted else 1.0
            for j in range(n_columns):
                block[i, j] = weight * (block[i, j] - mean[j])
        for j in range(n_columns):
            mean[j] += <double>X[0, j]
        syrk(b"T", <int>n_rows, <int>n_columns, &block[0, 0], <int>n_columns, &gram[0, 0], <int>n_rows)
