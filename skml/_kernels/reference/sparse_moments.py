"""Twin of the kernel that multiplies with centred sparse rows."""

import scipy.sparse as sp


def add_sparse_product(indptr, indices, data, weights, offset, work, sums):
    """Add ``X.T @ Y`` with ``Y = weights * (X @ V - offset)`` to one half of `work`, whose other half is V."""
    b, stored = len(offset), slice(indptr[0], indptr[-1])
    parts = (data[stored].astype(work.dtype), indices[stored], indptr - indptr[0])
    X = sp.csr_array(parts, shape=(len(indptr) - 1, len(work)))
    Y = X @ work[:, :b] - offset.astype(work.dtype)
    Y *= weights[:, None] if len(weights) else 1.0
    work[:, b:] += X.T @ Y
    sums += Y.sum(axis=0)
