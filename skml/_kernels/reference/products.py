"""Twin of products.pyx: products of rows with rows in plain NumPy, in one order."""


def row_products(left, right, out, n_threads):
    """Write the product of each left row with each right row, summed in the order of the components."""
    if left.shape[1] != right.shape[1] or out.shape != (len(left), len(right)):
        raise ValueError("The shapes of left, right and out disagree.")
    out[:] = 0
    for x, y in zip(left.T, right.T):
        out += x[:, None] * y
