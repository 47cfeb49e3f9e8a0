"""Where windows lie on an image: kernel, stride, padding and dilation, as convolutions and pooling share them."""

import functools
from dataclasses import dataclass
from numbers import Integral

__all__ = ["Geometry", "convolution_output_size"]


def convolution_output_size(size, kernel_size, stride=1, padding=0, dilation=1):
    """Return how many windows fit along one axis.

    That is floor((size + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1, and ceil(size / stride) for
    padding "same".

    Parameters
    ----------
    size : int
        The length of the axis.
    kernel_size : int
        The length of a window.
    stride : int, default=1
        The step from a window to the next.
    padding : int, "valid" or "same", default=0
        Zeros added at either end; "valid" means none, and "same" as many as give a window to every `stride` places.
    dilation : int, default=1
        The step between the places that a window looks at.

    Returns
    -------
    size : int
        At least 1.

    Raises
    ------
    ValueError
        If not one window fits, or a number is not a whole one of at least 1 (padding: 0).

    Examples
    --------
    >>> from skml.network import convolution_output_size
    >>> convolution_output_size(28, 3), convolution_output_size(28, 3, stride=2, padding=1)
    (26, 14)
    >>> convolution_output_size(7, 2, stride=2, padding="same")
    4
    """
    sizes = {"size": size, "kernel_size": kernel_size, "stride": stride, "dilation": dilation}
    for name, value in sizes.items():
        require_whole(value, name)
    if isinstance(padding, str):
        require_word(padding)
    else:
        require_whole(padding, "padding", 0)
    reach = dilation * (kernel_size - 1) + 1
    if padding == "same":
        return -(-size // stride)
    added = 0 if padding == "valid" else padding
    # W_out = floor((W_in - K + 2 P) / S) + 1
    found = (size + 2 * added - reach) // stride + 1
    if found < 1:
        wide = f"{kernel_size}" if dilation == 1 else f"{kernel_size} at dilation {dilation} (which reaches {reach})"
        padded = f" with {added} of padding at either end" if added else ""
        raise ValueError(f"A window of {wide} does not fit an axis of {size}{padded}.")
    return found


@dataclass(frozen=True)
class Geometry:
    """How windows lie on an image.

    Attributes
    ----------
    kernel : int or (int, int)
        Height and width of a window; one number stands for both.
    stride : int or (int, int), default=1
        Steps from a window to the next.
    padding : int, (int, int), "valid" or "same", default=0
        Zeros around the image, see :func:`convolution_output_size`. With "same" an odd number of them has the greater
        half below and on the right.
    dilation : int or (int, int), default=1
        Steps between the places that a window looks at.
    groups : int, default=1
        Groups of channels that don't see each other.

    Raises
    ------
    ValueError
        If a number is not a whole one of at least 1 (padding: 0), or the padding is another word.

    Examples
    --------
    >>> from skml.network import Geometry
    >>> geometry = Geometry(kernel=3, stride=2, padding="same")
    >>> geometry.output(28, 27), geometry.pads(28, 27)
    ((14, 14), (0, 1))
    """

    kernel: int | tuple
    stride: int | tuple = 1
    padding: int | tuple | str = 0
    dilation: int | tuple = 1
    groups: int = 1

    def __post_init__(self):
        for name in ("kernel", "stride", "dilation"):
            object.__setattr__(self, name, pair_of(getattr(self, name), name))
        if isinstance(self.padding, str):
            require_word(self.padding)
        else:
            object.__setattr__(self, "padding", pair_of(self.padding, "padding", 0))
        require_whole(self.groups, "groups")

    @functools.lru_cache(maxsize=1024)  # noqa: B019 - asked for in every step, of few geometries
    def output(self, H, W):
        """Return how many windows lie on an image, below each other and side by side.

        Parameters
        ----------
        H, W : int
            Height and width of the image.

        Returns
        -------
        OH, OW : int
            At least 1.

        Raises
        ------
        ValueError
            If not one window fits.
        """
        padding = (self.padding,) * 2 if isinstance(self.padding, str) else self.padding
        axes = zip((H, W), self.kernel, self.stride, padding, self.dilation)
        return tuple(convolution_output_size(*axis) for axis in axes)

    @functools.lru_cache(maxsize=1024)  # noqa: B019 - asked for in every step, of few geometries
    def pads(self, H, W):
        """Return the zeros above and on the left of an image.

        Parameters
        ----------
        H, W : int
            Height and width of the image.

        Returns
        -------
        top, left : int
            At least 0.
        """
        if self.padding == "valid":
            return 0, 0
        if self.padding != "same":
            return self.padding
        axes = zip((H, W), self.output(H, W), self.stride, self.reach)
        return tuple(max((windows - 1) * step + reach - size, 0) // 2 for size, windows, step, reach in axes)

    @property
    def reach(self):
        """Height and width of what a window spans."""
        return tuple(step * (size - 1) + 1 for size, step in zip(self.kernel, self.dilation))

    def taps(self, H, W):
        """Yield, for each place of the kernel, the windows whose place is on the image, and the pixels there.

        Parameters
        ----------
        H, W : int
            Height and width of the image.

        Yields
        ------
        i, j : int
            The place.
        windows, pixels : (slice, slice)
            Of equal lengths, in the array of windows and in the image.
        """
        axes = zip((H, W), self.output(H, W), self.stride, self.pads(H, W))
        (rows, row_axis), (columns, column_axis) = zip(self.dilation, axes)
        for i in range(self.kernel[0]):
            below = _tap(i * rows, *row_axis)
            for j in range(self.kernel[1]):
                beside = _tap(j * columns, *column_axis)
                yield i, j, (below[0], beside[0]), (below[1], beside[1])


def _tap(offset, size, windows, step, pad):
    """Return the windows o with 0 <= o * step + offset - pad < size, and those pixels, as slices."""
    first = max(0, -(-(pad - offset) // step))
    last = max(first, min(windows, (size - 1 + pad - offset) // step + 1))
    start = max(0, first * step + offset - pad)
    return slice(first, last), slice(start, start + max(0, (last - first - 1) * step + 1) * (last > first), step)


def require_whole(value, name, least=1):
    """Raise a ValueError unless a value is a whole number of at least so much."""
    if not _is_whole(value, least):
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}.")


def require_word(padding):
    """Raise a ValueError unless a word says how to pad."""
    if padding not in ("same", "valid"):
        raise ValueError(f"padding={padding!r} is unknown; use 'same', 'valid', or a number of zeros.")


def require_size(value):
    """Return height and width as a tuple, or raise a ValueError unless they are two whole numbers of at least 1."""
    if not (isinstance(value, (tuple, list)) and len(value) == 2 and all(_is_whole(one, 1) for one in value)):
        raise ValueError(f"size must be two whole numbers of at least 1, (height, width), got {value!r}.")
    return tuple(int(one) for one in value)


def pair_of(value, name, least=1):
    """Return a number as two, or two as a tuple; raise a ValueError unless they are whole and large enough."""
    pair = (value, value) if isinstance(value, Integral) else value
    if not (isinstance(pair, (tuple, list)) and len(pair) == 2 and all(_is_whole(one, least) for one in pair)):
        raise ValueError(f"{name} must be a whole number of at least {least}, or two of them, got {value!r}.")
    return tuple(int(one) for one in pair)


def _is_whole(value, least):
    return isinstance(value, Integral) and not isinstance(value, bool) and value >= least
