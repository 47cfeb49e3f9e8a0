"""Images: what a row of X is, and how its numbers become what a network is shown.

H, W, C: height, width, channels; a signal is an image of H = 1. Rows keep the order of numbers in which they came;
batches are made of them, channels last and scaled.
"""

from dataclasses import dataclass
from math import isqrt, prod
from numbers import Integral

import numpy as np

from skml.base import warn_caller

# Scaled numbers beyond it are cut off: far outside of what the network has seen, and still good to multiply.
LIMIT = 1e6
# A channel that varies by no more than this share of its largest number is constant, but for rounding.
_ROUNDING = 1e-12
# Deviations by which float32 numbers can be divided as such.
_ORDINARY = (1e-30, 1e30)
_CHUNK = 2**20  # numbers
# So few numbers beside many are channels of a signal rather than a width.
_FEW_CHANNELS = 4


def as_shape(image_shape):
    """Return (H, W, C) of what was asked for.

    Parameters
    ----------
    image_shape : int or sequence of int
        (height, width, channels); of a signal (length, channels), (length,) or the length alone.

    Returns
    -------
    shape : (int, int, int)
        A signal has a height of 1.

    Raises
    ------
    ValueError
        If it is nothing like that.
    """
    sizes = (image_shape,) if isinstance(image_shape, Integral) else tuple(image_shape)
    if not 1 <= len(sizes) <= 3 or not all(isinstance(size, Integral) and size >= 1 for size in sizes):
        raise ValueError(
            f"image_shape must be (height, width, channels), or for signals (length, channels), got {image_shape!r}."
        )
    sizes = tuple(map(int, sizes))
    return {1: (1, *sizes, 1), 2: (1, *sizes), 3: sizes}[len(sizes)]


def is_square_pair(image_shape):
    """Tell whether an `image_shape` is two equal numbers: of flat rows a signal, of an array of them grey images.

    Parameters
    ----------
    image_shape : int, sequence of int or None
        As the user gave it.

    Returns
    -------
    square : bool
        Whether it may be meant either way; (1, 1) is the same both ways.
    """
    sizes = () if image_shape is None or isinstance(image_shape, Integral) else tuple(image_shape)
    return len(sizes) == 2 and sizes[0] == sizes[1] != 1


def guessed_shape(n_features):
    """Return (H, W, C) of flat rows about which nothing is known: square and grey if they can be, else a signal."""
    side = isqrt(n_features)
    return (side, side, 1) if side * side == n_features else (1, n_features, 1)


def shape_of_rows(n_features, image_shape):
    """Return (H, W, C) of flat rows.

    Parameters
    ----------
    n_features : int
        The numbers in a row.
    image_shape : int, sequence of int or None
        As the user gave it.

    Returns
    -------
    shape : (int, int, int)
        Whose product is `n_features`.

    Raises
    ------
    ValueError
        If `image_shape` has another product.
    """
    if image_shape is None:
        return guessed_shape(n_features)
    shape = as_shape(image_shape)
    if prod(shape) != n_features:
        sizes = " x ".join(map(str, shape))
        raise ValueError(
            f"image_shape={image_shape!r} means {sizes} = {prod(shape)} numbers, but X has {n_features} features."
        )
    return shape


def flat_rows(X, image_shape, channels_first, told=None):
    """Make flat rows of arrays of images; whatever else X may be is handed back.

    Parameters
    ----------
    X : array-like
        Of two dimensions; of three, (n, height, width) or, with an `image_shape` of height 1, (n, length, channels),
        unless that is two equal numbers: grey images; or of four, (n, height, width, channels).
    image_shape : int, sequence of int or None
        As the user gave it.
    channels_first : bool
        Whether channels come before height and width.
    told : int, sequence of int or None, default=None
        What errors call `image_shape`, if not that.

    Returns
    -------
    X : array-like of shape (n, n_features)
        Flat; a view where that is possible.
    shape : (int, int, int) or None
        H, W, C, if X told them.

    Raises
    ------
    ValueError
        If X has too many dimensions or is empty, or images are of another shape than `image_shape`, or ambiguous.
    """
    if isinstance(X, (list, tuple)):
        X = _stacked(X)
    sizes = getattr(X, "shape", ())
    if len(sizes) > 4 or (len(sizes) > 2 and 0 in sizes):
        order = "channels, height, width" if channels_first else "height, width, channels"
        raise ValueError(
            f"X has shape {tuple(sizes)}; it must be flat rows (n, n_features), grey images (n, height, width), images "
            f"(n, {order}) or, with image_shape, signals (n, length, channels), and not be empty."
        )
    if len(sizes) not in (3, 4):
        return X, None
    asked = None if image_shape is None else as_shape(image_shape)
    grey = (*asked[1:], 1) if is_square_pair(image_shape) else None
    if grey and tuple(sizes[1:]) in (grey[:2], (1, *grey[:2]) if channels_first else grey):
        asked = grey
    shape = _shape_of(sizes[1:], asked, channels_first)
    if asked not in (None, shape):
        found, wanted = (" x ".join(map(str, some)) for some in (shape, asked))
        raise ValueError(
            f"X of shape {tuple(sizes)} holds images of {found} (height, width, channels); "
            f"image_shape={image_shape if told is None else told!r} means {wanted}."
        )
    return np.asarray(X).reshape(len(X), -1), shape


def n_axes(X):
    """Return how many dimensions an array, or a list of arrays, has; 0 of anything else."""
    if isinstance(X, (list, tuple)):
        return 1 + np.ndim(X[0]) if len(X) else 1
    return len(getattr(X, "shape", ()))


def _stacked(X):
    """Return a list of images as an array, and any other list as it is."""
    if not len(X) or np.ndim(X[0]) < 2:
        return X
    try:
        return np.asarray(X)
    except ValueError:
        shapes = sorted({np.shape(image) for image in X})
        raise ValueError(f"X holds images of several shapes, such as {shapes[0]} and {shapes[-1]}; use one.") from None


def _shape_of(sizes, asked, channels_first):
    """Return H, W, C of the sizes of an array without its first."""
    if len(sizes) == 3:
        return (*sizes[1:], sizes[0]) if channels_first else tuple(sizes)
    if asked is None and 1 in sizes:
        raise ValueError(
            f"X has three dimensions, (n, {sizes[0]}, {sizes[1]}), which may be images or signals: give image_shape, "
            "(height, width, channels) or (length, channels), or flat rows."
        )
    if asked is not None and asked[0] == 1 and (asked[2] > 1 or sizes[0] != 1):
        return (1, *(sizes[::-1] if channels_first else sizes))
    return (*sizes, 1)


def warn_of_signals_as_images(sizes, channels_first):
    """Warn if (n, height, width) has the sizes of signals, to which nothing but an `image_shape` would make them.

    Parameters
    ----------
    sizes : (int, int)
        Height and width of grey images.
    channels_first : bool
        Whether signals would be (n, channels, length).
    """
    length, channels = sizes[::-1] if channels_first else sizes
    if max(sizes) > 8 * min(sizes) or (channels <= _FEW_CHANNELS and length > 2 * channels):
        warn_caller(
            f"X is read as grey images of height {sizes[0]} and width {sizes[1]}. Signals of length {length} with "
            f"{channels} channels are image_shape=({length}, {channels}); image_shape=({sizes[0]}, {sizes[1]}, 1) says "
            "images without this warning.",
            UserWarning,
        )


# ------------------------------------------------------------------------------------------------- scaling


@dataclass(frozen=True)
class Images:
    """How rows become what a network is shown: x = (row - mean) / deviation, channel by channel.

    Attributes
    ----------
    shape : (int, int, int)
        H, W, C.
    channels_first : bool
        Whether the numbers of a row come channel by channel.
    mean, deviation : ndarray of shape (C,), float64
        What is taken away from a channel, and what it is divided by.
    kind : {"bytes", "unit", "numbers"}
        What the network was fitted on: bytes; floats from 0 to 1; other floats.
    top : float, default=255.0
        The largest number that it was fitted on; of bytes 255.
    """

    shape: tuple
    channels_first: bool
    mean: np.ndarray
    deviation: np.ndarray
    kind: str
    top: float = 255.0

    def pixels(self, rows):
        """Return flat rows as (n, H, W, C): a view."""
        H, W, C = self.shape
        return rows.reshape(-1, C, H, W).transpose(0, 2, 3, 1) if self.channels_first else rows.reshape(-1, H, W, C)

    def rows(self, pixels):
        """Return (n, H, W, C) as flat rows."""
        ordered = pixels.transpose(0, 3, 1, 2) if self.channels_first else pixels
        return ordered.reshape(len(pixels), -1)

    def flat(self, values):
        """Return numbers of the channels as such of the places in a row."""
        return self.rows(np.broadcast_to(values, (1, *self.shape)))[0]

    def unit(self, rows_dtype):
        """Return what rows of a type are to be divided by before anything else: 255 if bytes stand for floats."""
        return 255.0 if rows_dtype == np.uint8 and self.kind == "unit" else 1.0

    def warn_of_scale(self, X):
        """Warn if X seems to be in another unit than what the network was fitted on, by its type and numbers."""
        doubt = self._doubt_of_bytes(X) if X.dtype == np.uint8 else self._doubt_of_floats(X)
        if doubt:
            warn_caller(doubt, UserWarning)

    def _doubt_of_floats(self, X):
        if self.kind != "bytes" or not X.size:
            return None
        low, high = X.min(), X.max()
        if low < 0:
            return (
                f"X holds floats from {low:.3g} to {high:.3g}, while the model was fitted on uint8 from 0 to 255: "
                "floats are taken in that unit. Undo the scaling, or fit on what is scaled."
            )
        if 0 < high <= 1:
            return (
                "X holds floats of at most 1, while the model was fitted on uint8 from 0 to 255: floats are taken in "
                "that unit. Multiply by 255 what has been divided by it."
            )
        return None

    def _doubt_of_bytes(self, X):
        high = X.max(initial=0)
        if self.kind == "unit" and high == 1:
            return (
                "X holds uint8 of at most 1, while the model was fitted on floats from 0 to 1: bytes are divided by "
                "255. Make floats of 0 and 1 that are not."
            )
        if self.kind == "numbers" and high > 2 * max(self.top, 0.5):
            return (
                f"X holds uint8 up to {high}, while the model was fitted on floats up to {self.top:.3g}: bytes are "
                "taken in that unit. Scale them as those were."
            )
        return None

    def preparation(self, rows_dtype, dtype):
        """Return a function that makes batches.

        Parameters
        ----------
        rows_dtype : dtype
            Of rows: uint8, float32 or float64.
        dtype : dtype
            Of batches: float32 or float64.

        Returns
        -------
        prepare : callable
            ``prepare(rows, out)`` writes rows of shape (b, n_features) to `out`, of shape (b, H, W, C).
        """
        work = self._work(rows_dtype, dtype)
        deviation, shift = self.deviation * self.unit(rows_dtype), self.mean / self.deviation
        deviation, shift = (self._compact(values).astype(work) for values in (deviation, shift))
        shifts = shift.any()
        direct = work == dtype and not (self.channels_first and self.shape[2] > 1)

        def prepare(rows, out):
            flat = out.reshape(rows.shape) if direct else np.empty(rows.shape, dtype=work)
            np.divide(rows, deviation, out=flat)
            if shifts:
                flat -= shift
            if rows.dtype != np.uint8:
                np.minimum(np.maximum(flat, -LIMIT, out=flat), LIMIT, out=flat)
            if not direct:
                out[...] = self.pixels(flat)

        return prepare

    def _work(self, rows_dtype, dtype):
        """Return the type to scale in: that of floats, or float64 where float32 would not do."""
        low, high = _ORDINARY
        fine = np.all((low < self.deviation) & (self.deviation < high)) and np.all(np.abs(self.mean) < high)
        return np.dtype(dtype if fine and rows_dtype != np.float64 else np.float64)

    def _compact(self, values):
        """Return numbers of the channels in the order of a row; one number if all are equal."""
        return values[:1] if (values == values[0]).all() else self.flat(values)


def scale_images(X, shape, channels_first, rows, weights):
    """Find out how to scale images: bytes by 255, floats by their channels' mean and standard deviation.

    Parameters
    ----------
    X : ndarray of shape (n, n_features), uint8, float32 or float64
        Flat rows.
    shape : (int, int, int)
        H, W, C.
    channels_first : bool
        Whether the numbers of a row come channel by channel.
    rows : ndarray of int
        The rows that count, in an order by which alone sums are made.
    weights : ndarray of shape (len(rows),)
        Theirs.

    Returns
    -------
    images : Images
        A constant channel has the deviation of its absolute value (1 if that is 0).
    """
    C = shape[2]
    images = Images(tuple(shape), bool(channels_first), np.zeros(C), np.full(C, 255.0), "bytes")
    if X.dtype == np.uint8:
        return images
    low, high = _extremes(X, rows, images)
    kind = "unit" if low.min() >= 0 and high.max() <= 1 else "numbers"
    peak = np.maximum(np.abs(low), np.abs(high))
    peak = np.where(peak > 0, peak, 1.0)
    # of numbers divided by the largest, so that squares are ordinary
    mean = _mean(X, rows, weights, images, peak, lambda z: z)
    centre = images.flat(mean)
    spread = np.sqrt(_mean(X, rows, weights, images, peak, lambda z: np.square(z - centre)))
    deviation = np.where(spread > _ROUNDING, spread, 1.0)
    return Images(images.shape, images.channels_first, mean * peak, deviation * peak, kind, float(high.max()))


def _chunks(rows, width):
    """Yield slices of rows that hold a fixed number of numbers or so."""
    size = max(1, _CHUNK // width)
    for start in range(0, len(rows), size):
        yield slice(start, start + size)


def _extremes(X, rows, images):
    """Return the least and the largest number of each channel."""
    low, high = np.full(images.shape[2], np.inf), np.full(images.shape[2], -np.inf)
    for some in _chunks(rows, X.shape[1]):
        pixels = images.pixels(X[rows[some]])
        low, high = np.minimum(low, pixels.min(axis=(0, 1, 2))), np.maximum(high, pixels.max(axis=(0, 1, 2)))
    return low.astype(np.float64), high.astype(np.float64)


def _mean(X, rows, weights, images, peak, of):
    """Return the weighted mean of each channel of of(X / peak)."""
    total, divisor = np.zeros(X.shape[1]), images.flat(peak)
    shares = weights / weights.sum()
    for some in _chunks(rows, X.shape[1]):
        total += shares[some] @ of(X[rows[some]] / divisor)
    return images.pixels(total).mean(axis=(0, 1, 2))
