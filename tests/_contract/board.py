"""The checkerboard: users of even number like the items of even number, the others the others, as 5 to 1.

Each user has not rated four items, of which two are liked; so what to recommend and what to predict is known.
"""

import inspect

import numpy as np
import scipy.sparse as sp

import skml
from _contract.cases import make
from skml.recommendation.recommender import BaseRecommender

N = 12  # users, and items
GAPS = (0, 1, 4, 5)  # user u has not rated the items u, u + 1, u + 4 and u + 5, counted round

# Settings under which a recommender can find the rule on so small a board. One that isn't here runs with its defaults.
SUITABLE = {
    "ContentFilter": [
        {"alpha": 0.1},
        {"profile": "rocchio"},
        {"alpha": 0.1, "feedback": "implicit"},
        {"profile": "rocchio", "feedback": "implicit"},
    ],
    "MatrixFactorization": [
        {"n_components": 2},
        {"n_components": 2, "inner": "cg", "init": "random"},
        {"n_components": 2, "solver": "ccd"},
        {"n_components": 2, "solver": "svd"},
        {"n_components": 2, "solver": "sgd"},
        {"n_components": 2, "feedback": "implicit", "alpha": 0.1},
    ],
    "NeighborhoodFilter": [
        {"shrinkage": 1.0},
        {"shrinkage": 1.0, "kind": "user"},
        {"shrinkage": 1.0, "metric": "cosine", "n_neighbors": 4},
        {"solver": "ease", "alpha": 100.0},
        {"solver": "slim", "alpha": 10.0, "l1_ratio": 0.1, "tol": 1e-9},
        {"feedback": "implicit"},
        {"feedback": "implicit", "kind": "user"},
        {"feedback": "implicit", "solver": "ease", "alpha": 1.0},
    ],
}


def recommenders():
    """Return the public recommenders."""
    return [cls for _, cls in skml.all_estimators() if issubclass(cls, BaseRecommender)]


def settings(cls):
    """Return the settings in which to try a recommender."""
    return SUITABLE.get(cls.__name__, [{}])


def is_implicit(params):
    """Tell whether settings are for implicit feedback."""
    return params.get("feedback") == "implicit"


def ratings():
    """Return the board, NaN where nothing is known."""
    R = np.where(np.add.outer(np.arange(N), np.arange(N)) % 2 == 0, 5.0, 1.0)
    for gap in GAPS:
        R[np.arange(N), (np.arange(N) + gap) % N] = np.nan
    return R


def known(implicit=False):
    """Return the interactions on the board: X and y, or with implicit feedback the liked ones and None."""
    R = ratings()
    u, i = np.nonzero(R == 5) if implicit else np.nonzero(~np.isnan(R))
    return np.c_[u, i], None if implicit else R[u, i]


def matrix(implicit=False):
    """Return the board for the matrix door."""
    R = ratings()
    return sp.csr_array((R == 5) * 1.0) if implicit else R


def unknown(user, liked):
    """Return the items that a user has not rated and likes, or doesn't."""
    return {(user + gap) % N for gap in GAPS if (gap % 2 == 0) == liked}


def attributes(cls, items=None):
    """Return what `fit` takes beside X and y: a recommender by attributes is told the parity of items."""
    if "item_features" not in inspect.signature(cls.fit).parameters or cls.__name__ != "ContentFilter":
        return {}
    return {"item_features": (np.arange(N) if items is None else items, np.eye(2)[np.arange(N) % 2])}


def fitted(cls, params, door="interactions"):
    """Return a recommender fitted to the board."""
    implicit = is_implicit(params)
    data = known(implicit) if door == "interactions" else (matrix(implicit), None)
    return make(cls, params).fit(*data, **attributes(cls))
