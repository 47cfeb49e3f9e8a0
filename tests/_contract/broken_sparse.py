"""Give estimators broken sparse matrices, one after another, and print what they say about each.

Usage: python broken_sparse.py FIRST_CASE CLASS... Prints a line of number, class, case and outcome, with tabs between,
for each case from FIRST_CASE on; the parent sees from the last line where the process died, if it did.
"""

import functools
import sys

import numpy as np
import scipy.sparse as sp

from _contract.cases import ROW_METHODS, accepts, data, find, make, settings


def sound(form, index_type, rng_seed=0):
    """Return a sound matrix of a format with about half of its entries stored."""
    rng = np.random.default_rng(rng_seed)
    X = np.where(rng.random((30, 8)) < 0.5, rng.normal(size=(30, 8)), 0)
    X[0, 0] = 1.0
    matrix = getattr(sp, f"{form}_array")(X)
    if form == "coo":
        matrix.coords = tuple(axis.astype(index_type) for axis in matrix.coords)
    else:
        matrix.indices, matrix.indptr = matrix.indices.astype(index_type), matrix.indptr.astype(index_type)
    return matrix


def compressed_faults():
    """Return {name: function that breaks a CSR, CSC or BSR matrix in place}."""

    def index(value, where=-1):
        def spoil(matrix):
            matrix.indices = matrix.indices.copy()
            matrix.indices[where] = value

        return spoil

    def pointer(value, where):
        def spoil(matrix):
            matrix.indptr = matrix.indptr.copy()
            matrix.indptr[where] = value

        return spoil

    def resize(name, change):
        def spoil(matrix):
            setattr(matrix, name, change(getattr(matrix, name)))

        return spoil

    return {
        "index just outside": index(1_000),
        "index far outside": index(2**30),
        "index far outside, first": index(2**30, 0),
        "index negative": index(-1),
        "index far negative": index(-(2**30), 0),
        "indptr past the end": pointer(10**6, -1),
        "indptr past the end inside": pointer(10**6, 2),
        "indptr far past the end": pointer(2**31 - 1, -1),
        "indptr decreasing": pointer(0, 3),
        "indptr negative": pointer(-5, 2),
        "indptr starts late": pointer(1, 0),
        "indptr starts below zero": pointer(-1, 0),
        "indptr ends early": pointer(1, -1),
        "indptr too short": resize("indptr", lambda part: part[:-1].copy()),
        "indptr too long": resize("indptr", lambda part: np.append(part, part[-1:])),
        "indptr empty": resize("indptr", lambda part: part[:0].copy()),
        "indices too short": resize("indices", lambda part: part[:-3].copy()),
        "indices too long": resize("indices", lambda part: np.append(part, part[:3])),
        "indices empty": resize("indices", lambda part: part[:0].copy()),
        "data too short": resize("data", lambda part: part[:-3].copy()),
        "data empty": resize("data", lambda part: part[:0].copy()),
    }


def coordinate_faults():
    """Return {name: function that breaks a COO matrix in place}."""

    def entry(axis, value):
        def spoil(matrix):
            coords = [part.copy() for part in matrix.coords]
            coords[axis][-1] = value
            matrix.coords = tuple(coords)

        return spoil

    def shorten(axis):
        def spoil(matrix):
            coords = [part.copy() for part in matrix.coords]
            coords[axis] = coords[axis][:-2]
            matrix.coords = tuple(coords)

        return spoil

    def shorten_data(matrix):
        matrix.data = matrix.data[:-2].copy()

    return {
        "row outside": entry(0, 10**6),
        "row far outside": entry(0, 2**30),
        "row negative": entry(0, -1),
        "column outside": entry(1, 1_000),
        "column far outside": entry(1, 2**30),
        "column negative": entry(1, -7),
        "rows too short": shorten(0),
        "columns too short": shorten(1),
        "data too short": shorten_data,
    }


def learners(cls):
    """Return {method: parameters with which the class has it} of the methods that fit."""
    return {
        name: params
        for name in ("fit", "partial_fit")
        for params in reversed(settings(cls.__name__))
        if hasattr(make(cls, params), name)
    }


def cases(cls):
    """Return (description, method, broken matrix) for every format, fault, index type and method."""
    found = []
    methods = [*learners(cls), *(name for name in ROW_METHODS if hasattr(make(cls), name))]
    for form in ("csr", "csc", "bsr", "coo"):
        for fault, spoil in (coordinate_faults() if form == "coo" else compressed_faults()).items():
            for index_type in (np.int32, np.int64):
                matrix = sound(form, index_type)
                spoil(matrix)
                found += [(f"{method} {form} {fault} {index_type.__name__}", method, matrix) for method in methods]
    return found


def trials(name):
    """Yield the description of each case of a class, and a function that runs it."""
    cls = find(name)
    X, y = data(cls, np.random.default_rng(0), n=30, p=8)
    fitted, fits = make(cls).fit(X, y), learners(cls)
    if accepts(cls, "sparse"):
        make(cls).fit(sound("csr", np.int64), y)  # what isn't broken is accepted
    for description, method, matrix in cases(cls):
        target = make(cls, fits[method]) if method in fits else fitted
        yield description, functools.partial(getattr(target, method), matrix, *([y] if method in fits else []))


def outcome_of(run):
    """Run a case and say in a line what came of it."""
    try:
        run()
        return "accepted"
    except (ValueError, TypeError) as error:
        return "refused" if len(str(error).split()) > 3 else f"not a sentence: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def main(first, names):
    """Run the cases from number `first` on."""
    everything = ((name, *trial) for name in names for trial in trials(name))
    for number, (name, description, run) in enumerate(everything):
        if number >= first:
            print(number, name, description, "", sep="\t", end="", flush=True)
            print(outcome_of(run).replace("\n", " "), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
