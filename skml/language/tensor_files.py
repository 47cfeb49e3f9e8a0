"""Files of the safetensors format: a header in JSON that says where each array lies, and the numbers.

The header is checked here before the package `safetensors` reads anything: a file may come from anywhere.
"""

import math
import os
from dataclasses import dataclass

import numpy as np

from skml.language.files import parse_json

LARGEST_HEADER = 100_000_000  # bytes; the format's own limit
_DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16}
_OTHERS = {"BOOL": 1, "U8": 1, "I8": 1, "U16": 2, "I16": 2, "U32": 4, "I32": 4, "U64": 8, "I64": 8, "C64": 8}
_SIZES = {name: np.dtype(dtype).itemsize for name, dtype in _DTYPES.items()} | _OTHERS
_PICKLES = {b"\x80": "a pickle", b"PK": "a zip archive, as pickles of torch are"}


@dataclass(frozen=True)
class Place:
    """Where an array lies.

    Attributes
    ----------
    path : path-like
        The file.
    key : str
        Its name there.
    dtype : str
        As the format calls it, "F32" for float32.
    shape : tuple of int
        Its shape.
    start, stop : int
        Its bytes, from the beginning of the file.
    """

    path: object
    key: str
    dtype: str
    shape: tuple
    start: int
    stop: int

    @property
    def is_float(self):
        """Whether it holds floating-point numbers that can be read."""
        return self.dtype in _DTYPES


def safetensors():
    """Return the package, or raise an ImportError that says how to get it."""
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            "Pretrained models need the package safetensors; install it with: pip install 'skml[pretrained]'"
        ) from error
    return safetensors


def read_places(path):
    """Read what a file says of its arrays, and check that it can be true.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    places : dict of str to Place
        Of each array, by its name in the file.

    Raises
    ------
    ValueError
        If it is no file of this format, is cut off, or declares what cannot be.
    OSError
        If it cannot be read.
    """
    try:
        return _places(path)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)} is no safetensors file that can be read: {error}") from error


def _places(path):
    size = os.stat(path).st_size
    with open(path, "rb") as file:
        begins = file.read(8)
        n = int.from_bytes(begins, "little")
        if len(begins) < 8 or n > min(LARGEST_HEADER, size - 8):
            raise ValueError(_why_not(begins, n, size))
        text = file.read(n).decode("utf-8")
    header = parse_json(text)
    if not isinstance(header, dict):
        raise ValueError("its header must be a JSON object.")
    header.pop("__metadata__", None)
    places = {key: _place(path, key, entry, 8 + n) for key, entry in header.items()}
    _check_order(places.values(), 8 + n, size)
    return places


def _why_not(begins, n, size):
    for mark, kind in _PICKLES.items():
        if begins.startswith(mark):
            return f"it is {kind}, which could run any code when it is opened; nothing of it was. Save as safetensors."
    if size < 8:
        return f"it has {size} bytes."
    return (
        f"its header would have {n:,} bytes, the file has {size:,} (of a header at most {LARGEST_HEADER:,} are read)."
    )


def _place(path, key, entry, offset):
    """Return where an array lies, by its entry in the header."""
    found = entry if isinstance(entry, dict) else {}
    dtype, shape, bounds = (found.get(name) for name in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str) or dtype not in _SIZES:
        raise ValueError(f"{key!r} has the dtype {dtype!r}, which is not known.")
    if not _are_sizes(shape) or not _are_sizes(bounds) or len(bounds) != 2:
        raise ValueError(f"the entry of {key!r} must have a shape and two data_offsets of whole numbers.")
    start, stop = bounds
    if stop - start != math.prod(shape) * _SIZES[dtype]:
        raise ValueError(f"{key!r} has the shape {tuple(shape)} of {dtype}, but {stop - start:,} bytes.")
    return Place(path, key, dtype, tuple(shape), offset + start, offset + stop)


def _are_sizes(values):
    return isinstance(values, list) and len(values) <= 8 and all(type(n) is int and 0 <= n < 2**62 for n in values)


def _check_order(places, start, size):
    """Raise a ValueError unless the arrays fill the file, one after the other."""
    at = start
    for place in sorted(places, key=lambda place: (place.start, place.stop)):
        if place.start != at:
            raise ValueError(
                f"{place.key!r} begins at byte {place.start:,} and not at {at:,}, where the one before ends."
            )
        at = place.stop
    if at != size:
        raise ValueError(f"its arrays end at byte {at:,}, and the file at {size:,}: it was cut off, or holds more.")


def read_arrays(places, parameters):
    """Read arrays.

    Parameters
    ----------
    places : dict of str to Place
        Where each is.
    parameters : Parameters
        Of the same names and shapes; the numbers are written to it.

    Raises
    ------
    ValueError
        If a number is not finite, or a file has changed meanwhile.
    """
    package = safetensors()
    for path in sorted({place.path for place in places.values()}):
        try:
            with package.safe_open(path, framework="numpy") as file:
                for name, place in places.items():
                    if place.path == path:
                        _read_one(file, place, parameters[name])
        except package.SafetensorError as error:
            raise ValueError(f"{os.fspath(path)} is no safetensors file that can be read: {error}") from error


def _read_one(file, place, out):
    if place.dtype == "BF16":  # the upper half of a float32, which NumPy doesn't have
        with open(place.path, "rb") as whole:
            whole.seek(place.start)
            halves = np.frombuffer(whole.read(place.stop - place.start), dtype="<u2")
        values = (halves.astype(np.uint32) << 16).view(np.float32).reshape(place.shape)
    else:
        values = file.get_tensor(place.key)
        if values.shape != place.shape or values.dtype != _DTYPES[place.dtype]:
            raise ValueError(f"{os.fspath(place.path)} has changed while it was read.")
    with np.errstate(over="ignore"):  # what becomes infinite is refused in words
        out[...] = values
    if not np.isfinite(out).all():
        raise ValueError(f"{place.key!r} in {os.fspath(place.path)} holds numbers that are not finite in {out.dtype}.")
