"""Twin of matrices.pyx: a product of matrices."""

import numpy as np


def multiply(left, right, out, add, n_threads):
    """Write the product of two matrices, or add it to what is there."""
    if left.shape[1] != right.shape[0] or out.shape != (len(left), right.shape[1]) or n_threads < 1:
        raise ValueError(f"{left.shape} times {right.shape} does not give {out.shape}, or n_threads is below 1.")
    if out.size and out.shape[1] > 1 and out.strides[1] != out.itemsize:
        raise ValueError("The rows of out must be contiguous.")
    with np.errstate(invalid="ignore"):
        out[:] = np.matmul(left, right) + (out if add else 0)
