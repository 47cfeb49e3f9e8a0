"""Products with centred sparse rows, which are never made dense.

The caller splits the rows at boundaries that don't depend on the number of threads and gives each part a work array
of its own; a call runs on one thread, without the GIL.
"""

cdef extern from "sparse_moments.hpp" namespace "skml" nogil:
    void scatter_rows[S, R](int width, const int *indptr, Py_ssize_t n_rows, const int *indices, const S *data,
                         const double *weights, const double *offset, R *work, double *sums) noexcept

ctypedef fused source:
    float
    double

ctypedef fused real:
    float
    double


cdef bint sound(const int[::1] indptr, const int[::1] indices, Py_ssize_t n_features) noexcept nogil:
    """Return whether every row lies within the entries and every index within the features."""
    cdef Py_ssize_t i
    cdef unsigned int largest = 0, index
    if indptr[0] < 0 or indptr[indptr.shape[0] - 1] > indices.shape[0]:
        return False
    for i in range(1, indptr.shape[0]):
        if indptr[i] < indptr[i - 1]:
            return False
    for i in range(indptr[0], indptr[indptr.shape[0] - 1]):
        index = <unsigned int>indices[i]  # a negative one becomes huge
        largest = index if index > largest else largest
    return indptr[0] == indptr[indptr.shape[0] - 1] or largest < <size_t>n_features


def add_sparse_product(const int[::1] indptr, const int[::1] indices, const source[::1] data,
                       const double[::1] weights, const double[::1] offset, real[:, ::1] work, double[::1] sums):
    """Add ``X.T @ Y`` with ``Y = weights * (X @ V - offset)`` to one half of `work`, whose other half is V.

    Parameters
    ----------
    indptr : array of shape (n_rows + 1,)
        # in. Where the rows of X start in `indices` and `data`; it may be part of a larger matrix's.
    indices : array of shape (n_stored,)
        # in. The columns of the entries.
    data : array of shape (n_stored,)
        # in. The entries.
    weights : array of shape (n_rows,) or (0,)
        # in. Weights of the rows; empty for none.
    offset : array of shape (n_vectors,)
        # in. What is subtracted from each row of ``X @ V``: the product of the mean with V. 1, 2, 4 or 8 vectors.
    work : array of shape (n_features, 2 * n_vectors)
        # in, out. V in the first half of its columns; the other half gains the products, in its precision.
    sums : array of shape (n_vectors,)
        # in, out. Gains the column sums of Y.
    """
    cdef Py_ssize_t n_rows = indptr.shape[0] - 1, n_vectors = offset.shape[0]
    cdef const double *w = NULL
    if n_vectors not in (1, 2, 4, 8):
        raise ValueError("offset must have 1, 2, 4 or 8 entries")
    if work.shape[1] != 2 * n_vectors or sums.shape[0] != n_vectors:
        raise ValueError("work must have two columns and sums one entry per entry of offset")
    if n_rows < 0 or indices.shape[0] != data.shape[0]:
        raise ValueError("indptr must have one entry at least, and indices and data the same length")
    if weights.shape[0] != 0 and weights.shape[0] != n_rows:
        raise ValueError("weights must be empty or have one entry per row")
    if not sound(indptr, indices, work.shape[0]):
        raise ValueError("indptr or indices point outside the matrix")
    if n_rows == 0:
        return
    if weights.shape[0]:
        w = &weights[0]
    cdef const int *columns = &indices[0] if indices.shape[0] else NULL
    cdef const source *values = &data[0] if data.shape[0] else NULL
    cdef real *place = &work[0, 0] if work.shape[0] else NULL
    with nogil:
        scatter_rows(<int>n_vectors, &indptr[0], n_rows, columns, values, w, &offset[0], place, &sums[0])
