"""The estimators and variants that the contract tests run over, their data, and their answers."""

import inspect

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import is_classifier, is_clusterer, is_regressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags

import skml

# Settings that lead to other code than the defaults do. A class that isn't named here runs with its defaults alone.
VARIANTS = {
    "ActorCritic": [
        {"hidden_layer_sizes": (), "learning_rate_init": 0.01, "max_iter": 100},
        {"critic": "q", "activation": "relu", "entropy_weight": 0.01, "max_iter": 50},
    ],
    "AdaBoost": [
        {"algorithm": "SAMME.R"},
        {"max_depth": 3, "n_estimators": 10},
        {"algorithm": "SAMME.R", "max_depth": 2, "max_bins": 32},
        {"max_bins": 16, "learning_rate": 0.5},
        {"n_iter_no_change": 5, "validation_fraction": 0.3},
        {"estimator": GaussianNB(), "n_estimators": 5},
        {"estimator": GaussianNB(), "n_estimators": 5, "algorithm": "SAMME.R"},
        {"estimator": KNeighborsClassifier(3, algorithm="brute"), "n_estimators": 5},  # takes no weights
    ],
    "AdvantageActorCritic": [
        {"hidden_layer_sizes": 16, "activation": "sigmoid", "gradient_clip": None, "learning_rate_init": 0.02},
        {"gae_lambda": 0.9, "activation": "leaky_relu", "entropy_weight": 0.1, "max_iter": 50},
    ],
    "ContentFilter": [
        {"profile": "rocchio"},
        {"profile": "rocchio", "threshold": 0.0, "gamma": 0.0},
        {"alpha": 0.1, "bias_alpha": 0.0},
        {"feedback": "implicit"},
        {"handle_unknown": "mean"},
    ],
    "ConvAutoencoder": [
        {"denoise": 0.3, "n_components": 3, "hidden_layer_sizes": (16,), "activation": "gelu", "max_iter": 5},
        {"early_stopping": True, "validation_fraction": 0.3, "pool": "average", "stride": 1, "max_iter": 5},
        {"upsampling": "bilinear", "solver": "sgd", "learning_rate_init": 0.01, "padding": 1, "max_iter": 5},
    ],
    "ConvClassifier": [
        {"residual": True, "max_iter": 5},
        {"hidden_layer_sizes": (16,), "dropout": 0.2, "activation": "gelu", "max_iter": 5},
        {"early_stopping": True, "validation_fraction": 0.3, "learning_rate": "one_cycle", "max_iter": 5},
        {"augment": "shift", "solver": "adamw", "weight_decay": 0.01, "label_smoothing": 0.1, "max_iter": 5},
        {"pool": "average", "solver": "sgd", "learning_rate_init": 0.01, "class_weight": "balanced", "max_iter": 5},
    ],
    "ConvRegressor": [
        {"loss": "huber", "kernel_size": (3, 1), "pool": ("min", None), "max_iter": 5},
        {"early_stopping": True, "validation_fraction": 0.3, "max_iter": 5},
    ],
    "KMeansPP": [
        *({"algorithm": name, "n_clusters": 5} for name in ("lloyd", "elkan", "hamerly", "exponion", "yinyang")),
        *({"init": name, "n_clusters": 5} for name in ("random", "farthest", "k-means||")),
        {"metric": "cosine", "n_clusters": 5},
        {"n_init": 3, "n_clusters": 5},
    ],
    "LinearAutoencoder": [
        {"solver": "exact", "n_components": 3},
        {"solver": "als", "n_components": 3, "max_iter": 10_000},
        {"solver": "sgd", "n_components": 3},
        {"solver": "exact", "n_components": 1, "tied": True},
    ],
    "NeighborhoodFilter": [
        {"kind": "user"},
        *({"metric": name} for name in ("cosine", "pearson", "adjusted_cosine", "jaccard")),
        {"kind": "user", "metric": "pearson", "min_support": 2.0, "n_neighbors": 5},
        {"negative": True, "damping": 0.5, "baseline": (2.0, 0.5), "shrinkage": 0.0},
        {"solver": "ease", "baseline": None},
        {"solver": "slim", "alpha": 2.0, "tol": 1e-9},
        {"solver": "slim", "alpha": 1.0, "positive": True, "tol": 1e-9},
        {"feedback": "implicit", "metric": "cosine", "n_neighbors": 3},
        {"feedback": "implicit", "kind": "user", "metric": "jaccard"},
        {"feedback": "implicit", "solver": "ease"},
    ],
    "Reinforce": [
        {"hidden_layer_sizes": (), "learning_rate_init": 0.02, "max_iter": 100},
        {"baseline": "mean", "hidden_layer_sizes": (8, 8, 8), "max_iter": 50},
        {"baseline": None, "activation": "identity", "max_iter": 50},
    ],
    "RNNLanguageModel": [
        {"cell": "lstm", "tie_embeddings": True, "n_layers": 2, "hidden_size": 16, "dropout": 0.2, "max_iter": 5},
        {
            "cell": "rnn",
            "activation": "relu",
            "batching": "pad",
            "sequence_length": 4,
            "pooling": "mean",
            "max_iter": 5,
        },
        {
            "early_stopping": True,
            "validation_fraction": 0.3,
            "weight_decay": 0.01,
            "pooling": "attention",
            "max_iter": 5,
        },
    ],
    "TransformerLanguageModel": [
        {"position": "rotary", "norm": "rms", "batching": "pad", "context_length": 5, "dropout": 0.2, "max_iter": 5},
        {"position": "sinusoidal", "norm_position": "post", "tie_embeddings": False, "pooling": "mean", "max_iter": 5},
        {"early_stopping": True, "validation_fraction": 0.3, "learning_rate": "cosine", "max_iter": 5},
    ],
    "MatrixFactorization": [
        {"n_components": 3, "inner": "cg", "weighted_alpha": True, "alpha": 0.2, "tol": 1e-2},
        {"n_components": 3, "init": "svd", "fit_bias": False, "alpha": {"users": 0.5, "items": 1.0}, "tol": 1e-2},
        {"n_components": 3, "feedback": "implicit"},
        {"n_components": 3, "solver": "sgd", "max_iter": 10},
        {"n_components": 3, "solver": "sgd", "max_iter": 10, "average": 3, "weighted_alpha": True, "init": "svd"},
        {"n_components": 3, "solver": "sgd", "feedback": "implicit", "loss": "bpr", "max_iter": 10},
        {"n_components": 3, "solver": "sgd", "feedback": "implicit", "loss": "logistic", "max_iter": 10},
        {"n_components": 3, "solver": "svd"},
        {"n_components": 3, "solver": "ccd"},
        {"n_components": 3, "solver": "ccd", "constraint": "nonnegative"},
        {"n_components": 3, "solver": "ccd", "constraint": "orthogonal", "alpha": 1.0},
    ],
    "PCA": [
        *({"svd_solver": name, "n_components": 3} for name in ("full", "covariance_eigh", "arpack", "randomized")),
        *({"svd_solver": name, "n_components": 3} for name in ("gram", "em")),
        {"n_components": 0.8},
        {"n_components": "mle"},
        {"n_components": 3, "whiten": True},
    ],
    "PolicyIteration": [{"evaluation": "sweeps"}, {"discretizer": FunctionTransformer(np.rint)}],
    "QLearning": [{"discretizer": FunctionTransformer(np.rint)}],
    "SARSA": [{"expected": True}],
    "ValueIteration": [
        {"algorithm": "prioritized"},
        {"algorithm": "gauss-seidel", "discretizer": FunctionTransformer(np.rint)},
        {"horizon": 3},
    ],
}

# Methods that answer for rows of X; every one that an estimator has is compared.
ROW_METHODS = (
    "predict",
    "predict_proba",
    "decision_function",
    "transform",
    "score_samples",
    "reconstruction_error",
    "quantization_error",
)

# Those that give one figure per row, of squares that may leave float32's range: float64 is allowed for any input.
FIGURES = ("score_samples", "reconstruction_error", "quantization_error")


def classes():
    """Return every public estimator class, sorted by name."""
    return [cls for _, cls in skml.all_estimators()]


def find(name):
    """Return the public estimator class of a name."""
    return dict(skml.all_estimators())[name]


def settings(name):
    """Return the parameter settings to test a class with; the first is empty, the defaults."""
    return [{}, *VARIANTS.get(name, [])]


def label(params):
    """Return the test id of a setting."""
    return "-".join(f"{key}={value}" for key, value in params.items()) or "default"


def make(cls, params=None, random_state=0):
    """Return an unfitted estimator with a fixed random state."""
    estimator = cls(**(params or {}))
    if "random_state" in estimator.get_params():
        estimator.set_params(random_state=random_state)
    return estimator


each_class = pytest.mark.parametrize("cls", classes(), ids=lambda cls: cls.__name__)
each_variant = pytest.mark.parametrize(
    ("cls", "params"),
    [pytest.param(cls, p, id=f"{cls.__name__}-{label(p)}") for cls in classes() for p in settings(cls.__name__)],
)


def accepts(cls, tag, params=None):
    """Tell whether an input tag such as "sparse" or "allow_nan" is set."""
    return getattr(get_tags(make(cls, params)).input_tags, tag)


def takes_weights(cls):
    """Tell whether ``fit`` has `sample_weight` in its signature."""
    return "sample_weight" in inspect.signature(cls.fit).parameters


def data(cls, rng, n=90, p=8):
    """Return X with five groups of rows and well separated directions, and a y that fits the kind of estimator.

    A tenth of the classes are drawn, so that no classifier has all rows right and weights have a say.
    """
    groups = rng.integers(0, 5, size=n)
    groups[:5] = range(5)
    centres = rng.normal(size=(5, p)) * 6
    # Unequal scales keep the directions apart: with nearly equal ones a rounding error could turn them.
    X = (centres[groups] + rng.normal(size=(n, p))) * 1.6 ** -np.arange(p)
    X = with_recurring_ids(cls, X)
    if is_classifier(cls()):
        groups = np.where(rng.random(n) < 0.1, rng.integers(0, 5, size=n), groups)
    return X, target(cls, X, groups)


def with_recurring_ids(cls, X):
    """Return X whose users and items, or states, recur: if each row had its own, there would be nothing to learn."""
    if takes_rows_for_states(cls):
        cells, turns = np.rint(X[:, :2] / 4), np.arange(X.shape[1] - 2)
        return np.c_[cells, cells @ [np.cos(turns), np.sin(turns)]]
    return np.c_[np.rint(X[:, :2]), X[:, 2:]] if hasattr(cls, "recommend") else X


def takes_rows_for_states(cls):
    """Tell whether each distinct row is a state of its own: planners and tabular agents."""
    return "discretizer" in inspect.signature(cls).parameters


def target(cls, X, groups):
    """Return the y that suits an estimator: classes, numbers that a confidence may be as well, or None."""
    if hasattr(cls, "recommend"):
        return 1 + np.abs(X @ np.ones(X.shape[1]))
    if is_classifier(cls()):
        return groups % 3
    if is_regressor(cls()):
        y = X @ np.ones(X.shape[1])
        return y - y.min() + 1 if hasattr(cls, "recommend") else y  # as confidences, too, they must be positive
    return None


def answers(estimator, X, rows=None):
    """Return what each method of a fitted estimator says about X, or some rows of it."""
    X = X if rows is None else X[rows]
    said = {name: getattr(estimator, name)(X) for name in ROW_METHODS if hasattr(estimator, name)}
    if hasattr(estimator, "inverse_transform") and not _recommends_last(estimator):
        # Codes are what transform or, for a quantizer, predict gives.
        code = said["predict"] if is_clusterer(estimator) else said["transform"]
        said["inverse_transform"] = estimator.inverse_transform(code)
    return {name: dense(value) for name, value in said.items()}


def _recommends_last(estimator):
    # The codes of a recommender stand for ratings of all items, which the steps before it cannot undo.
    return isinstance(estimator, Pipeline) and hasattr(estimator[-1], "recommend")


def dense(value):
    """Return an array of an answer."""
    return value.toarray() if sp.issparse(value) else np.asarray(value)


def state(estimator):
    """Return the fitted attributes."""
    return {name: value for name, value in vars(estimator).items() if name.endswith("_") and not name.startswith("_")}


def assert_same(ours, theirs):
    """Assert that two sets of answers are the same to the last bit."""
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name, strict=True)


def assert_close(ours, theirs, rtol=1e-6):
    """Assert that decisions are equal, and numbers to rounding at the scale of the answer.

    Errors per row are squares of differences: where a model is exact they are the rounding of the data's own squares.
    """
    assert ours.keys() == theirs.keys()
    largest = max((np.max(np.abs(v), initial=0) for v in ours.values() if v.dtype.kind == "f"), default=0)
    for name, value in ours.items():
        if value.dtype.kind in "fc":
            scale = np.max(np.abs(value), initial=1e-300) + (1e-5 * float(largest) ** 2 if name in FIGURES else 0)
            np.testing.assert_allclose(value, theirs[name], rtol=rtol, atol=rtol * scale, err_msg=name)
        else:
            np.testing.assert_array_equal(value, theirs[name], err_msg=name)


def assert_finite(said):
    """Assert that no answer holds NaN or infinity."""
    for name, value in said.items():
        if value.dtype.kind == "f":
            assert np.isfinite(value).all(), f"{name} is not finite"
