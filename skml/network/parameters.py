"""Parameters: one flat buffer that an optimizer sees as one array, and named views into it that layers see.

A layer says what it needs as :class:`Spec`; the initialisers fill it.
"""

import math
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

__all__ = [
    "Parameters",
    "Spec",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "initialize",
    "ones",
    "orthogonal",
    "zeros",
]


def he_uniform(generator, shape, fan_in, fan_out, dtype):
    """Draw from U(-a, a) with a = sqrt(6 / fan_in), for activations that cut off one half (He et al. 2015, eq. 10).

    Parameters
    ----------
    generator : numpy.random.Generator
        The source of chance.
    shape : tuple of int
        Of the result.
    fan_in, fan_out : int
        Numbers that one output is a sum of, and outputs that one input goes to.
    dtype : dtype
        Of the result; what is drawn does not depend on it.

    Returns
    -------
    values : ndarray of shape `shape`
        Of variance 2 / fan_in.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import he_uniform
    >>> w = he_uniform(np.random.default_rng(0), (600, 4), 600, 4, np.float32)
    >>> bool(abs(w).max() <= 0.1), w.dtype
    (True, dtype('float32'))
    """
    return _uniform(generator, shape, math.sqrt(6 / fan_in), dtype)


def he_normal(generator, shape, fan_in, fan_out, dtype):
    """Draw from N(0, 2 / fan_in) (He et al. 2015, eq. 10).

    Parameters
    ----------
    generator : numpy.random.Generator
        The source of chance.
    shape : tuple of int
        Of the result.
    fan_in, fan_out : int
        Numbers that one output is a sum of, and outputs that one input goes to.
    dtype : dtype
        Of the result.

    Returns
    -------
    values : ndarray of shape `shape`
        Of variance 2 / fan_in.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import he_normal
    >>> he_normal(np.random.default_rng(0), (3, 3, 8, 16), 72, 144, np.float32).shape
    (3, 3, 8, 16)
    """
    return (generator.standard_normal(shape) * math.sqrt(2 / fan_in)).astype(dtype)


def normal(std, generator, shape, fan_in, fan_out, dtype):
    """Draw from N(0, std^2)."""
    return (generator.standard_normal(shape) * std).astype(dtype)


def glorot_uniform(generator, shape, fan_in, fan_out, dtype):
    """Draw from U(-a, a) with a = sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010, eq. 16).

    Parameters
    ----------
    generator : numpy.random.Generator
        The source of chance.
    shape : tuple of int
        Of the result.
    fan_in, fan_out : int
        Numbers that one output is a sum of, and outputs that one input goes to.
    dtype : dtype
        Of the result.

    Returns
    -------
    values : ndarray of shape `shape`
        Of variance 2 / (fan_in + fan_out).

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import glorot_uniform
    >>> bool(abs(glorot_uniform(np.random.default_rng(0), (3, 3), 3, 3, np.float64)).max() <= 1)
    True
    """
    return _uniform(generator, shape, math.sqrt(6 / (fan_in + fan_out)), dtype)


def _uniform(generator, shape, bound, dtype):
    return generator.uniform(-bound, bound, size=shape).astype(dtype)


def orthogonal(generator, shape, fan_in, fan_out, dtype):
    """Draw a matrix, all axes but the last taken as one, whose rows or columns are orthonormal (Saxe et al. 2014).

    Parameters
    ----------
    generator : numpy.random.Generator
        The source of chance.
    shape : tuple of int
        Of the result.
    fan_in, fan_out : int
        Not used.
    dtype : dtype
        Of the result.

    Returns
    -------
    values : ndarray of shape `shape`
        Evenly distributed among such matrices.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import orthogonal
    >>> w = orthogonal(np.random.default_rng(0), (5, 3), 5, 3, np.float64)
    >>> bool(np.allclose(w.T @ w, np.eye(3)))
    True
    """
    rows, columns = math.prod(shape[:-1]), shape[-1]
    noise = generator.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(noise)
    q *= np.where(np.diag(r) < 0, -1.0, 1.0)  # without the signs Q is not evenly distributed (Mezzadri 2007)
    return (q if rows >= columns else q.T).reshape(shape).astype(dtype)


def zeros(generator, shape, fan_in, fan_out, dtype):
    """Return zeros.

    Parameters
    ----------
    generator : numpy.random.Generator
        Not used.
    shape : tuple of int
        Of the result.
    fan_in, fan_out : int
        Not used.
    dtype : dtype
        Of the result.

    Returns
    -------
    values : ndarray of shape `shape`
        Zeros.

    Examples
    --------
    >>> from skml.network import zeros
    >>> zeros(None, (2,), 1, 1, "float32")
    array([0., 0.], dtype=float32)
    """
    return np.zeros(shape, dtype=dtype)


def ones(generator, shape, fan_in, fan_out, dtype):
    """Return ones.

    Parameters
    ----------
    generator : numpy.random.Generator
        Not used.
    shape : tuple of int
        Of the result.
    fan_in, fan_out : int
        Not used.
    dtype : dtype
        Of the result.

    Returns
    -------
    values : ndarray of shape `shape`
        Ones.

    Examples
    --------
    >>> from skml.network import ones
    >>> ones(None, (2,), 1, 1, "float32")
    array([1., 1.], dtype=float32)
    """
    return np.ones(shape, dtype=dtype)


@dataclass(frozen=True)
class Spec:
    """An array that a layer needs.

    Attributes
    ----------
    name : str
        Its name in the layer, such as "weight".
    shape : tuple of int
        Its shape.
    init : callable, default=zeros
        One of the initialisers, or a function of their signature.
    fan_in, fan_out : int, default=1
        Numbers that one output is a sum of, and outputs that one input goes to.

    Examples
    --------
    >>> from skml.network import Spec, he_uniform
    >>> Spec("weight", (784, 10), he_uniform, 784, 10).shape
    (784, 10)
    """

    name: str
    shape: tuple
    init: Callable = zeros
    fan_in: int = 1
    fan_out: int = 1


class Parameters(Mapping):
    """Arrays by name, in order, that are views into one flat buffer.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        The name and the shape of each array. Dots in a name stand between layers: "3.block.1.weight".
    flat : ndarray of shape (count,), float32 or float64
        The numbers of all, one array after the other, each in C order. It is kept, not copied.

    Attributes
    ----------
    flat : ndarray of shape (count,)
        The buffer.
    shapes : dict of str to tuple of int
        As given.

    Raises
    ------
    ValueError
        If the buffer is of another size than the shapes together.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import Parameters
    >>> parameters = Parameters({"weight": (2, 3), "bias": (3,)}, np.zeros(9))
    >>> parameters["bias"][:] = 1
    >>> parameters.flat
    array([0., 0., 0., 0., 0., 0., 1., 1., 1.])
    >>> parameters.count, list(parameters)
    (9, ['weight', 'bias'])
    """

    def __init__(self, shapes, flat):
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
        self.flat = flat
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        if flat.shape != (sum(sizes),):
            raise ValueError(f"The arrays hold {sum(sizes)} numbers together, the buffer is of shape {flat.shape}.")
        ends = np.cumsum([0, *sizes])
        parts = [flat[start:end] for start, end in zip(ends[:-1], ends[1:])]
        self._views = {name: part.reshape(shape) for (name, shape), part in zip(self.shapes.items(), parts)}

    def __reduce__(self):
        # views would come back as arrays of their own
        return Parameters, (self.shapes, self.flat)

    def __getitem__(self, name):
        return self._views[name]

    def __iter__(self):
        return iter(self._views)

    def __len__(self):
        return len(self._views)

    def __repr__(self):
        return f"Parameters({self.count} numbers of {self.flat.dtype} in {len(self)} arrays)"

    @property
    def count(self):
        """How many numbers there are."""
        return self.flat.size

    def like(self):
        """Return a twin of zeros: room for gradients, or for an optimizer's averages.

        Returns
        -------
        twin : Parameters
            Of the same names, shapes and dtype.
        """
        return Parameters(self.shapes, np.zeros(self.flat.shape, self.flat.dtype))  # its pages come when they are used

    def copy(self):
        """Return a twin of the same numbers.

        Returns
        -------
        twin : Parameters
            Of the same names, shapes and dtype.
        """
        return Parameters(self.shapes, self.flat.copy())

    def tree(self):
        """Return the views by layer: "3.block.weight" is at ``["3"]["block"]["weight"]``.

        Returns
        -------
        tree : dict
            Of views, and of such dicts.
        """
        tree = {}
        for name, view in self.items():
            *path, last = name.split(".")
            at = tree
            for part in path:
                at = at.setdefault(part, {})
            at[last] = view
        return tree

    def save(self, path):
        """Write the arrays to a file of NumPy's .npz format; an older file is replaced whole or not at all.

        Parameters
        ----------
        path : str or path-like
            The file.
        """
        temporary = f"{os.fspath(path)}.{secrets.token_hex(8)}"
        try:
            with open(temporary, "xb") as file:
                np.savez(file, **self)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            if os.path.exists(temporary):
                os.unlink(temporary)
            raise

    def load(self, path):
        """Read the arrays from a file that `save` wrote; they are changed only if all of it fits.

        Parameters
        ----------
        path : str or path-like
            The file.

        Raises
        ------
        ValueError
            If names or shapes are not the same, or numbers are not finite.
        """
        with np.load(path, allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
        if {name: array.shape for name, array in arrays.items()} != self.shapes:
            raise ValueError(f"{os.fspath(path)} holds other arrays: {self._difference(arrays)}.")
        flat = np.concatenate([arrays[name].ravel() for name in self.shapes] or [self.flat])
        if not np.isfinite(flat).all():
            raise ValueError(f"{os.fspath(path)} holds numbers that are not finite.")
        self.flat[:] = flat

    def _difference(self, arrays):
        """Return the first difference between what is needed and what was found, in words."""
        for name, shape in self.shapes.items():
            if name not in arrays:
                return f"{name} is missing"
            if arrays[name].shape != shape:
                return f"{name} has shape {arrays[name].shape}, expected {shape}"
        return f"{next(name for name in arrays if name not in self.shapes)} has no place here"


def initialize(specs, dtype, generator):
    """Allocate and fill the arrays that layers need.

    Parameters
    ----------
    specs : iterable of Spec
        In the order in which they shall lie in the buffer, and chance is drawn.
    dtype : dtype
        float32 or float64.
    generator : numpy.random.Generator
        The source of chance.

    Returns
    -------
    parameters : Parameters
        Filled.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.network import Spec, he_uniform, initialize
    >>> specs = [Spec("weight", (4, 2), he_uniform, 4, 2), Spec("bias", (2,))]
    >>> initialize(specs, np.float32, np.random.default_rng(0))
    Parameters(10 numbers of float32 in 2 arrays)
    """
    specs = tuple(specs)
    shapes = {spec.name: spec.shape for spec in specs}
    parameters = Parameters(shapes, np.zeros(sum(map(math.prod, shapes.values())), dtype=dtype))
    for spec in specs:
        parameters[spec.name][...] = spec.init(generator, spec.shape, spec.fan_in, spec.fan_out, dtype)
    return parameters
