"""Ids and their codes: distinct ids in order, and 0, 1, 2... for them."""

from collections import defaultdict
from dataclasses import dataclass
from numbers import Number

import numpy as np

# Objects are numbered so many at a time: as Python objects all of them would take several times the memory.
_AT_ONCE = 1 << 18

_NAMED = 10  # how many offenders an error names


@dataclass(frozen=True)
class Labels:
    """A column of ids that came as codes, such as a categorical one.

    Attributes
    ----------
    codes : ndarray of shape (n_rows,), int
        Indices into `values`.
    values : ndarray of shape (n_values,)
        Distinct ids in any order; not all need occur.
    """

    codes: np.ndarray
    values: np.ndarray

    def __len__(self):
        return len(self.codes)

    def __getitem__(self, rows):
        return Labels(self.codes[rows], self.values)


def encode(column, name):
    """Return the distinct ids of a column in order, and each row's index among them.

    Parameters
    ----------
    column : ndarray of shape (n_rows,) or Labels
        Numbers, strings or any hashable objects that can be ordered.
    name : str
        What to call the column in errors.

    Returns
    -------
    ids : ndarray of shape (n_ids,)
        Numbers if all are, else strings or objects.
    codes : ndarray of shape (n_rows,), int32
        So that ``ids[codes]`` is the column.

    Raises
    ------
    ValueError
        If an id is missing or infinite, or ids are of types that cannot be ordered.
    TypeError
        If an id cannot be hashed.
    """
    if isinstance(column, Labels):
        return _encode_labels(column, name)
    if is_numeric(column):
        return _encode_numbers(column, name)
    distinct, codes = _number_objects(column, name)
    ids, places = _in_order(distinct, name)
    if column.dtype.kind in "US":
        ids = ids.astype(column.dtype)
    return ids, places[codes]


def look_up(column, ids, name):
    """Return the codes of ids that may be new.

    Parameters
    ----------
    column : ndarray of shape (n_rows,) or Labels
        Ids asked for.
    ids : ndarray of shape (n_ids,)
        Known ids, distinct, in any order.
    name : str
        What to call the column in errors.

    Returns
    -------
    codes : ndarray of shape (n_rows,), int32
        Indices into `ids`, -1 for an id that is not among them.
    """
    if isinstance(column, np.ndarray) and is_numeric(column) and is_numeric(ids):
        _refuse_missing(column, name)
        return find(column, ids)
    distinct, codes = encode(column, name)
    return find(distinct, ids)[codes]


def merge_ids(known, new, name, ordered=True):
    """Return known and new ids together.

    Parameters
    ----------
    known, new : ndarray
        Distinct each.
    name : str
        What to call them in errors.
    ordered : bool, default=True
        Whether all come in order; otherwise the new ones follow the known ones.

    Returns
    -------
    ids : ndarray of shape (n_ids,)
        All of them.
    places : ndarray of shape (n_known,), int32
        Where the known ids are now.
    codes : ndarray of shape (n_new,), int32
        Where the new ids are.
    """
    if is_numeric(known) != is_numeric(new) and kind_of(known) != kind_of(new):
        kinds = ["numbers" if is_numeric(ids) else "strings or objects" for ids in (known, new)]
        raise ValueError(f"{name} were {kinds[0]} before and are {kinds[1]} now; use one type for all.")
    found = find(new, known)
    if not ordered:
        found[found < 0] = len(known) + np.arange(np.sum(found < 0))
        ids = _joined(known, new[found >= len(known)])
        return ids, np.arange(len(known), dtype=np.int32), found
    ids, codes = encode(_joined(known, new), name)
    return ids, codes[: len(known)], codes[len(known) :]


def is_numeric(ids):
    """Tell whether ids are an array of numbers or booleans."""
    return ids.dtype.kind in "biuf"


def kind_of(column):
    """Return "numbers" or "strings" if all ids of an array are that, else None."""
    if is_numeric(column):
        return "numbers"
    values = set(map(type, column.tolist()))
    kinds = (("numbers", Number), ("strings", str))
    return next((name for name, kind in kinds if values and all(issubclass(one, kind) for one in values)), None)


def other_kind(column, ids, codes):
    """Return words if ids are all unknown as they are numbers and the known ones strings, or the reverse; else None."""
    if len(codes) == 0 or len(ids) == 0 or codes.max() >= 0:
        return None
    asked, known = kind_of(column.values if isinstance(column, Labels) else column), kind_of(ids)
    if {asked, known} != {"numbers", "strings"}:
        return None
    return f"are {asked}, and those of training are {known}; none of them is known"


def loses(*arrays):
    """Tell whether arrays of numbers, brought to one type, are not all what they were."""
    together = np.result_type(*arrays)
    if together.kind != "f":
        return False
    largest = 2 ** (np.finfo(together).nmant + 1)  # up to there every integer is a float
    whole = [array for array in arrays if array.dtype.kind in "iu" and array.size]
    return any(int(array.max()) > largest or int(array.min()) < -largest for array in whole)


def as_objects(values):
    """Return a one-dimensional array of Python objects, also where these are sequences."""
    return np.fromiter(values, dtype=object, count=len(values))


def _joined(known, new):
    if is_numeric(known) and is_numeric(new):
        exact = not loses(known, new)
    else:
        exact = known.dtype.kind == new.dtype.kind
    if exact:
        return np.concatenate([known, new])
    return np.concatenate([known.astype(object), new.astype(object)])


def _encode_labels(labels, name):
    if len(labels.codes) and labels.codes.min() < 0:
        raise ValueError(_missing_words(name))
    occurs = np.zeros(len(labels.values), bool)
    occurs[labels.codes] = True
    ids, codes = encode(labels.values[occurs], name)
    places = np.full(len(occurs), -1, np.int32)
    places[occurs] = codes
    return ids, places[labels.codes]


def _encode_numbers(column, name):
    _refuse_missing(column, name)
    if column.dtype.kind in "iu" and len(column):
        low = int(column.min())
        width = int(column.max()) - low + 1
        if width <= 4 * len(column) + 1024:
            return _encode_by_table(column, low, width)
    ids, codes = np.unique(column, return_inverse=True)
    return ids, codes.astype(np.int32)


def _encode_by_table(column, low, width):
    # in uint64 differences and sums of all integers wrap back to the right number
    first = np.uint64(low % 2**64)
    places = (column.astype(np.uint64) - first).astype(np.int64)
    occurs = np.zeros(width, bool)
    occurs[places] = True
    numbers = np.cumsum(occurs, dtype=np.int32) - 1
    ids = (np.flatnonzero(occurs).astype(np.uint64) + first).astype(column.dtype)
    return ids, numbers[places].astype(np.int32, copy=False)


def _number_objects(column, name):
    """Return the distinct objects as they come, and the number of each row's."""
    numbers, codes = defaultdict(), np.empty(len(column), np.int32)
    numbers.default_factory = numbers.__len__
    for start in range(0, len(column), _AT_ONCE):
        values = column[start : start + _AT_ONCE].tolist()
        try:
            codes[start : start + len(values)] = np.fromiter(map(numbers.__getitem__, values), np.int32, len(values))
        except TypeError:
            raise TypeError(_unhashable_words(values, name)) from None
    return list(numbers), codes


def _unhashable_words(values, name):
    for value in values:
        try:
            hash(value)
        except TypeError:
            break
    what = type(value).__name__
    return f"{name} hold {value!r}; as an id, an argument must be a string, a number or hashable, no {what}."


def _in_order(distinct, name):
    """Return distinct objects in order, and the place of each."""
    if any(map(is_missing, distinct)):
        raise ValueError(_missing_words(name))
    are_numbers = all(isinstance(value, Number) for value in distinct)
    if are_numbers and is_numeric(numbers := as_numbers(distinct, name)):
        return _encode_numbers(numbers, name)
    kinds = sorted({"number" if isinstance(value, Number) else type(value).__name__ for value in distinct})
    try:
        if "number" in kinds and not are_numbers:
            raise TypeError
        order = sorted(range(len(distinct)), key=distinct.__getitem__)
    except TypeError:
        if len(kinds) == 1:
            raise ValueError(f"{name} hold ids of type {kinds[0]}, which have no order; make them strings.") from None
        raise ValueError(
            f"{name} hold ids of several types ({', '.join(kinds)}) that have no common order; make all of them "
            "strings, or all of them numbers."
        ) from None
    places = np.empty(len(order), np.int32)
    places[order] = np.arange(len(order), dtype=np.int32)
    return as_objects([distinct[i] for i in order]), places


def as_numbers(values, name):
    """Return a list of numbers as an array of a numeric type that holds them exactly, else as objects."""
    if any(isinstance(value, (complex, np.complexfloating)) for value in values):
        raise ValueError(f"{name} hold complex numbers, which have no order; make them strings.")
    numbers = np.array(values) if values else np.empty(0)
    if numbers.dtype == object:  # integers of more than 64 bits, fractions
        try:
            numbers = numbers.astype(np.float64)
        except (OverflowError, TypeError):
            return as_objects(values)
    if numbers.dtype.kind != "f" or all(a == b for a, b in zip(numbers.tolist(), values)):
        return numbers
    return as_objects([float(value) if isinstance(value, np.floating) else value for value in values])


def _refuse_missing(column, name):
    if column.dtype.kind == "f" and not np.isfinite(column).all():
        if np.isnan(column).any():
            raise ValueError(_missing_words(name))
        raise ValueError(f"{name} hold infinity, which is no id.")


def _missing_words(name):
    return f"{name} hold a missing id (NaN or None); leave out such rows, or give them an id of their own."


def find(values, ids):
    """Return where values are among known ids.

    Parameters
    ----------
    values : ndarray of shape (n,)
        Ids asked for; None and NaN are nowhere.
    ids : ndarray of shape (n_ids,)
        Distinct, in any order.

    Returns
    -------
    codes : ndarray of shape (n,), int32
        Indices into `ids`, -1 for an id that is not among them.
    """
    codes = np.full(len(values), -1, np.int32)
    if len(ids) == 0 or len(values) == 0:
        return codes
    if not (is_numeric(ids) and is_numeric(values)) or loses(ids, values):
        where = {value: code for code, value in enumerate(ids.tolist())}
        return np.fromiter((where.get(value, -1) for value in values.tolist()), np.int32, len(values))
    order = None if np.all(ids[:-1] < ids[1:]) else np.argsort(ids, kind="stable")
    places = np.searchsorted(ids, values, sorter=order)
    places[places == len(ids)] = 0
    places = places if order is None else order[places]
    same = ids[places] == values
    codes[same] = places[same]
    return codes


def number(column, name):
    """Return each id as a number from 0 in the order in which they first occur, whatever their type is.

    Parameters
    ----------
    column : ndarray of shape (n_rows,)
        None missing; they need not have an order.
    name : str
        What to call the column in errors.

    Returns
    -------
    numbers : ndarray of shape (n_rows,), int32
        Equal for equal ids.
    first : ndarray of shape (n_ids,), int
        The row in which each number first occurs.
    """
    if not is_numeric(column):
        distinct, numbers = _number_objects(column, name)
        return numbers, _first_rows(numbers, len(distinct))
    ids, codes = encode(column, name)
    first = _first_rows(codes, len(ids))
    order = np.argsort(first)
    numbers = np.empty(len(ids), np.int32)
    numbers[order] = np.arange(len(ids), dtype=np.int32)
    return numbers[codes], first[order]


def _first_rows(codes, n_codes):
    first = np.empty(n_codes, np.intp)
    first[codes[::-1]] = np.arange(len(codes))[::-1]  # of several rows the last written, the first, stays
    return first


def missing(values):
    """Return which entries of an array are None, NaN, NA or NaT.

    Parameters
    ----------
    values : ndarray
        Of any type.

    Returns
    -------
    mask : ndarray of bool
        Of the same shape.
    """
    if values.dtype.kind == "O":
        return np.fromiter(map(is_missing, values.ravel().tolist()), bool, values.size).reshape(values.shape)
    return values != values if values.dtype.kind in "fcmM" else np.zeros(values.shape, bool)


def is_missing(value):
    """Tell whether an object is None, NaN, NA or NaT."""
    return value is None or type(value).__name__ == "NAType" or value != value


def listed(values):
    """Return the first few of some values, as an error names them."""
    values = list(values)
    return ", ".join(map(repr, values[:_NAMED])) + (", ..." if len(values) > _NAMED else "")


def named(codes, ids):
    """Return the ids of codes; where these are -1: -1 for integers, NaN for floats, else None or an empty string."""
    names = ids[np.maximum(codes, 0)]
    missing = codes < 0
    if missing.any():
        kind = ids.dtype.kind
        names = names.astype({"u": np.int64, "b": object}.get(kind, ids.dtype))
        names[missing] = {"i": -1, "u": -1, "f": np.nan, "U": "", "S": b""}.get(kind)
    return names
