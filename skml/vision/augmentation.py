"""Augmentation: pictures shown as they might have been as well, shifted, mirrored or cropped.

All are one gather: output pixel (i, j) of image n is pixel (rows[n, i], columns[n, j]) of the image as it was.
"""

import numpy as np

# The most that an image is shifted, as a share of its side, and the least share of a side that is cut out.
REACH, LEAST = 1 / 8, 3 / 4


def shift(x, generator):
    """Move each image by up to an eighth of its sides; what comes in repeats the border.

    Parameters
    ----------
    x : ndarray of shape (B, H, W, C)
        Images.
    generator : numpy.random.Generator
        The source of chance.

    Returns
    -------
    shown : ndarray of shape (B, H, W, C)
        Shifted.
    """
    B, H, W, _ = x.shape
    return _gathered(x, _shifted(H, B, generator), _shifted(W, B, generator))


def flip(x, generator):
    """Mirror half of the images, left to right.

    Parameters
    ----------
    x : ndarray of shape (B, H, W, C)
        Images.
    generator : numpy.random.Generator
        The source of chance.

    Returns
    -------
    shown : ndarray of shape (B, H, W, C)
        Mirrored or not.
    """
    return np.where(generator.random(len(x))[:, None, None, None] < 0.5, x[:, :, ::-1], x)


def crop(x, generator):
    """Cut a window out of each image, sides three quarters at least, and show it in the size of the whole.

    Parameters
    ----------
    x : ndarray of shape (B, H, W, C)
        Images.
    generator : numpy.random.Generator
        The source of chance.

    Returns
    -------
    shown : ndarray of shape (B, H, W, C)
        The windows; each pixel is that of the window nearest to it.
    """
    B, H, W, _ = x.shape
    return _gathered(x, _cropped(H, B, generator), _cropped(W, B, generator))


AUGMENTATIONS = {"shift": shift, "flip": flip, "crop": crop}


def augmentation(name):
    """Return the function that a name stands for, or the function that was given instead; None for None."""
    return AUGMENTATIONS[name] if isinstance(name, str) else name


def _shifted(size, B, generator):
    """Return the place that each place of B axes shows."""
    most = round(size * REACH)
    steps = generator.integers(-most, most + 1, size=(B, 1))
    return np.clip(np.arange(size) + steps, 0, size - 1)


def _cropped(size, B, generator):
    """Return the place that each place of B axes shows."""
    span = generator.uniform(LEAST, 1.0, size=(B, 1)) * size
    start = generator.random((B, 1)) * (size - span)
    return np.minimum((start + (np.arange(size) + 0.5) * (span / size)).astype(np.int64), size - 1)


def _gathered(x, rows, columns):
    return x[np.arange(len(x))[:, None, None], rows[:, :, None], columns[:, None, :]]
