# What the entries of several families refuse; included, so that each module has its own copy.


cdef Py_ssize_t _same(tuple sizes, str names) except -1:
    """Raise unless all sizes are equal."""
    if len(set(sizes)) > 1:
        raise ValueError(f"{names} must agree in length, got {sizes}.")
    return sizes[0]


cdef int _check_threads(int n_threads) except -1:
    if n_threads < 1:
        raise ValueError(f"n_threads must be at least 1, got {n_threads}.")
    return 0


cdef int _check_strides(Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t size, str name) except -1:
    """Raise unless steps in memory are whole numbers; those of a field of records need not be."""
    if rows % size or columns % size:
        raise ValueError(f"The strides of {name}, {rows} and {columns} bytes, must be multiples of {size}; make a copy.")
    return 0


cdef int _check_indices(const int32_t[::1] indices, str name, Py_ssize_t least, Py_ssize_t end) except -1:
    cdef Py_ssize_t i
    cdef int32_t low = <int32_t> least, high = <int32_t> end
    cdef int outside = 0
    for i in range(indices.shape[0]):  # without a branch, so in vectors
        outside |= (indices[i] < low) | (indices[i] >= high)
    if not outside:
        return 0
    for i in range(indices.shape[0]):
        if indices[i] < low or indices[i] >= high:
            raise ValueError(f"{name}[{i}] is {indices[i]}, outside {least} to {end - 1}.")
    return 0


cdef int _check_indptr(const int32_t[::1] indptr, Py_ssize_t n_indices, Py_ssize_t n_values) except -1:
    cdef Py_ssize_t i
    if indptr.shape[0] == 0 or indptr[0] != 0 or indptr[indptr.shape[0] - 1] != n_values or n_indices != n_values:
        raise ValueError("indptr, indices and data are not those of a CSR matrix.")
    for i in range(indptr.shape[0] - 1):
        if indptr[i] > indptr[i + 1]:
            raise ValueError(f"indptr decreases after entry {i}.")
    return 0
