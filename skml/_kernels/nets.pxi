# Networks as kernels are given them: sizes, an activation, and parameters layer by layer.

cdef extern from "actors.hpp" namespace "skml_actors" nogil:
    cdef cppclass Net:
        const int32_t* sizes
        int n_layers, activation
        Py_ssize_t weights(int) noexcept
        Py_ssize_t outputs(int) noexcept
        Py_ssize_t space[T](const T*) noexcept


cdef Net _net(const int32_t[::1] sizes, int activation, Py_ssize_t n_weights) except *:
    """Return a network of some sizes, if it has so many parameters."""
    cdef Net net
    if sizes.shape[0] < 2:
        raise ValueError("A network has two sizes at least.")
    _check_indices(sizes, "sizes", 1, 2**31 - 1)
    if not 0 <= activation <= 5 or activation == 3:
        raise ValueError(f"activation is {activation}, none of 0, 1, 2, 4 and 5.")
    net.sizes, net.n_layers, net.activation = &sizes[0], <int> sizes.shape[0] - 1, activation
    if net.weights(net.n_layers) != n_weights:
        raise ValueError(f"A network of sizes {list(sizes)} has {net.weights(net.n_layers)} parameters, not {n_weights}.")
    return net
