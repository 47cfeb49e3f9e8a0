"""What observations and actions look like: one number of some, several such, or an array of floats.

Spaces of Gymnasium are read by their attributes, so nothing here needs it. Whatever an environment has, agents see one
of three: :class:`Discrete`, :class:`MultiDiscrete` or a flat :class:`Box`.
"""

import numpy as np

__all__ = ["Box", "Discrete", "MultiDiscrete"]


class Discrete:
    """The whole numbers from `start` to ``start + n - 1``.

    Parameters
    ----------
    n : int
        How many there are, at least 1.
    start : int, default=0
        The first one.

    Attributes
    ----------
    shape : tuple
        Empty: an element is one number.
    dtype : numpy dtype
        int64.

    Raises
    ------
    ValueError
        If `n` is less than 1.

    Examples
    --------
    >>> from skml.reinforcement import Discrete
    >>> space = Discrete(3)
    >>> space, space.contains(2), space.contains(3)
    (Discrete(3), True, False)
    """

    shape, dtype = (), np.dtype(np.int64)

    def __init__(self, n, start=0):
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}.")
        self.n, self.start = int(n), int(start)

    def contains(self, x):
        """Tell whether x is an element.

        Parameters
        ----------
        x : object
            Anything.

        Returns
        -------
        inside : bool
            False for whatever isn't a whole number.
        """
        if type(x) is int:
            return self.start <= x < self.start + self.n
        number = np.asarray(x)
        return number.shape == () and number.dtype.kind in "iu" and bool(self.start <= number < self.start + self.n)

    def sample(self, random_state=None):
        """Draw an element.

        Parameters
        ----------
        random_state : int, numpy Generator or None, default=None
            Where the draw comes from.

        Returns
        -------
        x : int
            Each with the same probability.
        """
        return int(np.random.default_rng(random_state).integers(self.start, self.start + self.n))

    def __eq__(self, other):
        return isinstance(other, Discrete) and (self.n, self.start) == (other.n, other.start)

    def __hash__(self):
        return hash((self.n, self.start))

    def __repr__(self):
        return f"Discrete({self.n}, start={self.start})" if self.start else f"Discrete({self.n})"


class MultiDiscrete:
    """Several whole numbers, each among some.

    Parameters
    ----------
    nvec : array-like of shape (k,)
        How many values each has.
    start : array-like of shape (k,) or None, default=None
        The first value of each; None is 0.

    Attributes
    ----------
    shape : tuple
        (k,).
    dtype : numpy dtype
        int64.

    Raises
    ------
    ValueError
        If some number has no value, or `start` has another length.

    Examples
    --------
    >>> from skml.reinforcement import MultiDiscrete
    >>> MultiDiscrete([2, 3]).contains([1, 2])
    True
    """

    dtype = np.dtype(np.int64)

    def __init__(self, nvec, start=None):
        self.nvec = np.array(nvec, dtype=np.int64).ravel()
        self.start = np.zeros_like(self.nvec) if start is None else np.array(start, dtype=np.int64).ravel()
        if not self.nvec.size or (self.nvec < 1).any() or self.start.shape != self.nvec.shape:
            raise ValueError(f"nvec must hold numbers from 1, and start one for each; got {nvec} and {start}.")
        self.shape = self.nvec.shape

    def contains(self, x):
        """Tell whether x is an element.

        Parameters
        ----------
        x : object
            Anything.

        Returns
        -------
        inside : bool
            False for whatever isn't an array of whole numbers.
        """
        numbers = np.asarray(x)
        if numbers.shape != self.shape or numbers.dtype.kind not in "iu":
            return False
        return bool(((self.start <= numbers) & (numbers < self.start + self.nvec)).all())

    def sample(self, random_state=None):
        """Draw an element.

        Parameters
        ----------
        random_state : int, numpy Generator or None, default=None
            Where the draw comes from.

        Returns
        -------
        x : ndarray of shape (k,)
            Whole numbers.
        """
        return np.random.default_rng(random_state).integers(self.start, self.start + self.nvec)

    def __eq__(self, other):
        same = isinstance(other, MultiDiscrete)
        return same and np.array_equal(self.nvec, other.nvec) and np.array_equal(self.start, other.start)

    def __hash__(self):
        return hash((*self.nvec.tolist(), *self.start.tolist()))

    def __repr__(self):
        start = f", start={self.start.tolist()}" if self.start.any() else ""
        return f"MultiDiscrete({self.nvec.tolist()}{start})"


class Box:
    """Arrays of numbers between bounds.

    Parameters
    ----------
    low, high : float or array-like
        The bounds, which belong to the space; infinite where there are none.
    shape : tuple or None, default=None
        Of an element; None takes that of the bounds.
    dtype : dtype, default=float32
        Of an element.

    Raises
    ------
    ValueError
        If a lower bound is above the upper one, or is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.reinforcement import Box
    >>> space = Box(-1, 1, (2,))
    >>> space, space.contains(np.array([0.5, 1], np.float32)), space.contains(np.array([0, 2], np.float32))
    (Box(-1.0, 1.0, (2,), float32), True, False)
    """

    def __init__(self, low, high, shape=None, dtype=np.float32):
        self.dtype = np.dtype(dtype)
        self.shape = np.broadcast_shapes(np.shape(low), np.shape(high)) if shape is None else tuple(shape)
        self.low, self.high = (np.broadcast_to(self._bound(bound), self.shape).copy() for bound in (low, high))
        if not (self.low <= self.high).all():
            raise ValueError(f"low must nowhere be above high, nor NaN; got {low} and {high}.")

    def _bound(self, bound):
        bound = np.asarray(bound)
        if self.dtype.kind in "iu":  # bounds of whole numbers may be written as infinite
            bound = np.clip(bound, np.iinfo(self.dtype).min, np.iinfo(self.dtype).max)
        return bound.astype(self.dtype)

    def contains(self, x):
        """Tell whether x is an element.

        Parameters
        ----------
        x : object
            Anything.

        Returns
        -------
        inside : bool
            False for arrays of another shape, of a type that doesn't fit, or with NaN.
        """
        numbers = np.asarray(x)
        if numbers.shape != self.shape or not np.can_cast(numbers.dtype, self.dtype, "same_kind"):
            return False
        return bool(((self.low <= numbers) & (numbers <= self.high)).all())

    def sample(self, random_state=None):
        """Draw an element.

        Parameters
        ----------
        random_state : int, numpy Generator or None, default=None
            Where the draw comes from.

        Returns
        -------
        x : ndarray
            Uniform between two bounds, exponential from one, normal without any.
        """
        generator = np.random.default_rng(random_state)
        if self.dtype.kind in "iu":
            return generator.integers(self.low, self.high, self.shape, self.dtype, endpoint=True)
        low, high = self.low.astype(np.float64), self.high.astype(np.float64)
        with np.errstate(invalid="ignore"):
            bounded = low + (high - low) * generator.random(self.shape)
            one_sided = np.where(np.isfinite(low), low, high)
            one_sided = one_sided + np.where(np.isfinite(low), 1, -1) * generator.exponential(size=self.shape)
        free = np.where(np.isfinite(low) | np.isfinite(high), one_sided, generator.normal(size=self.shape))
        return (
            np.where(np.isfinite(low) & np.isfinite(high), bounded, free).astype(self.dtype).clip(self.low, self.high)
        )

    def __eq__(self, other):
        same = isinstance(other, Box) and (self.shape, self.dtype) == (other.shape, other.dtype)
        return same and np.array_equal(self.low, other.low) and np.array_equal(self.high, other.high)

    def __hash__(self):
        return hash((self.shape, self.dtype.str, self.low.tobytes(), self.high.tobytes()))

    def __repr__(self):
        low, high = (
            float(b.flat[0]) if b.size and (b == b.flat[0]).all() else b.tolist() for b in (self.low, self.high)
        )
        return f"Box({low}, {high}, {self.shape}, {self.dtype})"


# ------------------------------------------------------------------------------- other libraries' spaces


def flat_space(space):
    """Return the :class:`Discrete`, :class:`MultiDiscrete` or flat :class:`Box` that agents see of a space.

    Parameters
    ----------
    space : object
        With the attributes of Gymnasium's Discrete (``n``), MultiDiscrete (``nvec``), MultiBinary (``n``, ``shape``),
        Box (``low``, ``high``), or Tuple and Dict (``spaces``) of such.

    Returns
    -------
    space : Discrete, MultiDiscrete or Box
        Of one axis at most. Parts of a tuple or dictionary stand one after another.

    Raises
    ------
    ValueError
        If the space is none of these.
    """
    parts = [_flat_leaf(leaf) for leaf in _leaves(space)]
    if len(parts) == 1:
        return parts[0]
    if all(not isinstance(part, Box) for part in parts):
        nvec = [np.atleast_1d(part.n if isinstance(part, Discrete) else part.nvec) for part in parts]
        return MultiDiscrete(np.concatenate(nvec), np.concatenate([np.atleast_1d(part.start) for part in parts]))
    low, high = (np.concatenate([_bounds(part)[side] for part in parts]) for side in (0, 1))
    single = all(isinstance(part, Box) and part.dtype == np.float32 for part in parts)
    return Box(low, high, dtype=np.float32 if single else np.float64)


def _leaves(space):
    """Return the parts of a tuple or dictionary of spaces, in order; a space alone is its own part."""
    inner = getattr(space, "spaces", None)
    if inner is None:
        return [space]
    inner = inner.values() if hasattr(inner, "values") else inner
    return [leaf for part in inner for leaf in _leaves(part)]


def _flat_leaf(space):
    shape = getattr(space, "shape", None)
    if hasattr(space, "nvec"):
        return MultiDiscrete(space.nvec, getattr(space, "start", None))
    if hasattr(space, "low") and hasattr(space, "high"):
        return Box(np.ravel(space.low), np.ravel(space.high), dtype=space.dtype)
    if hasattr(space, "n") and not shape:
        return Discrete(space.n, getattr(space, "start", 0))
    if hasattr(space, "n"):  # several bits
        return MultiDiscrete(np.full(int(np.prod(shape)), 2))
    raise ValueError(
        f"{space!r} is no space that skml knows; it knows Discrete, MultiDiscrete, MultiBinary, Box, and Tuple and "
        "Dict of these. Wrap the environment so that it has one of them."
    )


def _bounds(part):
    if isinstance(part, Box):
        return part.low, part.high
    last = part.start + (part.n if isinstance(part, Discrete) else part.nvec) - 1
    return np.atleast_1d(part.start), np.atleast_1d(last)


def flattened(space, x):
    """Return what an element of a space is in :func:`flat_space` of it.

    Parameters
    ----------
    space : object
        As for :func:`flat_space`.
    x : object
        An element of it.

    Returns
    -------
    row : int or ndarray of shape (k,)
        Numbers; of a tuple or dictionary those of its parts one after another.

    Raises
    ------
    ValueError
        If x has another shape or other parts than the space.
    """
    parts = _parts(space, x)
    if len(parts) == 1 and not hasattr(space, "spaces"):
        return np.asarray(x).item() if np.shape(x) == () else np.ravel(x)
    return np.concatenate([np.ravel(part) for _, part in parts])


def _parts(space, x):
    """Return (leaf, its element) for the parts of an element."""
    inner = getattr(space, "spaces", None)
    if inner is None:
        if np.shape(x) != tuple(space.shape or ()):
            raise ValueError(f"{x!r} has the shape {np.shape(x)}; elements of {space} have {space.shape}.")
        return [(space, x)]
    keys = list(inner.keys()) if hasattr(inner, "keys") else range(len(inner))
    if len(x) != len(keys):
        raise ValueError(f"{x!r} has {len(x)} parts; elements of {space} have {len(keys)}.")
    return [pair for key in keys for pair in _parts(inner[key], x[key])]


def checked_actions(answer, n, space):
    """Return what a policy answered to n observations as an array of actions.

    Parameters
    ----------
    answer : array-like
        One action for each observation.
    n : int
        How many observations there were.
    space : Discrete, MultiDiscrete or Box
        Of one action, flat.

    Returns
    -------
    actions : ndarray of shape (n,) or (n, k)
        The same.

    Raises
    ------
    ValueError
        If the shape is another one, or an action is none of the space (a Box may be left, but not for NaN).
    """
    wanted = (n, *space.shape)
    try:
        actions = np.asarray(answer)
    except ValueError:
        raise ValueError(f"The policy's answer is no array: {answer!r}; return actions of shape {wanted}.") from None
    if actions.shape != wanted:
        raise ValueError(
            f"The policy answered {n} observations with an array of shape {actions.shape}, {_shortened(answer)}; "
            f"return an action for each, an array of shape {wanted}."
        )
    whole = not isinstance(space, Box)
    if actions.dtype.kind not in ("iub" if whole else "iubf"):
        kind = "whole numbers; return integers" if whole else "numbers; return floats"
        raise ValueError(
            f"The policy's actions are {_shortened(answer)}, of dtype {actions.dtype}; actions are {kind}."
        )
    inside = _inside(actions, space)
    if not inside.all():
        row = int(np.argmin(inside.reshape(n, -1).all(axis=1)))
        raise ValueError(f"The policy's action for row {row} is {actions[row]!s}, which is not in {space}.")
    return actions


def _inside(actions, space):
    """Tell which of many numbers are inside a space; of a box, which are numbers."""
    if isinstance(space, Box):
        return np.isfinite(actions)
    n = space.n if isinstance(space, Discrete) else space.nvec
    return (actions >= space.start) & (actions < space.start + n)


def _shortened(answer):
    text = repr(answer)
    return text if len(text) <= 60 else text[:56] + " ..."


def unflattened(space, row):
    """Return the element of a space that a row of :func:`flat_space` is.

    Parameters
    ----------
    space : object
        As for :func:`flat_space`.
    row : int or ndarray of shape (k,)
        Numbers.

    Returns
    -------
    x : object
        What ``space.contains``.
    """
    x, rest = _rebuilt(space, np.atleast_1d(row))
    if rest.size:
        raise ValueError(f"{row!r} has {rest.size} numbers too many for {space}.")
    return x


def _rebuilt(space, numbers):
    """Return the element that the first of some numbers make, and the numbers left over."""
    inner = getattr(space, "spaces", None)
    if inner is None:
        size = int(np.prod(space.shape or ()))
        x = numbers[:size].reshape(space.shape or ()).astype(space.dtype)
        return (int(x) if hasattr(space, "n") and not space.shape else x), numbers[size:]
    built = []
    for part in inner.values() if hasattr(inner, "values") else inner:
        x, numbers = _rebuilt(part, numbers)
        built.append(x)
    return (dict(zip(inner, built)) if hasattr(inner, "keys") else tuple(built)), numbers
