"""A fitted estimator copied, pickled, saved or sent elsewhere gives the same bits, and holds no training data."""

import copy
import pickle

import numpy as np
import pytest
from _contract.cases import answers, assert_same, data, each_class, each_variant, make, state
from joblib import Parallel, delayed
from sklearn.base import clone

from skml.callback import Checkpoint


def through_skops(estimator):
    io = pytest.importorskip("skops.io")
    saved = io.dumps(estimator)
    untrusted = io.get_untrusted_types(data=saved)
    assert [name for name in untrusted if not name.startswith("skml.")] == []
    return io.loads(saved, trusted=untrusted)


WAYS = {
    "pickle": lambda estimator: pickle.loads(pickle.dumps(estimator)),
    "pickle-oldest": lambda estimator: pickle.loads(pickle.dumps(estimator, protocol=2)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "skops": through_skops,
}


@pytest.mark.parametrize("way", WAYS)
@each_variant
def test_a_copy_answers_the_same(cls, params, way, rng):
    X, y = data(cls, rng)
    estimator = make(cls, params).fit(X, y)
    other = WAYS[way](estimator)
    assert type(other) is cls
    assert_same(answers(other, X), answers(estimator, X))
    assert state(other).keys() == state(estimator).keys()
    assert other.get_params().keys() == estimator.get_params().keys()
    assert_same(answers(clone(other).fit(X, y), X), answers(estimator, X))


@each_variant
def test_a_checkpoint_answers_the_same(cls, params, tmp_path, rng):
    estimator = make(cls, params)
    if not hasattr(estimator, "set_callbacks"):
        return
    X, y = data(cls, rng)
    path = tmp_path / "model.skops"
    estimator.set_callbacks(Checkpoint(path)).fit(X, y)
    loaded = Checkpoint.load(path)
    assert type(loaded) is cls
    assert_same(answers(loaded, X), answers(estimator, X))


@each_class
def test_a_clone_is_not_fitted_and_fits_the_same(cls, rng):
    X, y = data(cls, rng)
    estimator = make(cls).fit(X, y)
    assert state(clone(estimator)) == {}
    assert_same(answers(clone(estimator).fit(X, y), X), answers(estimator, X))


@pytest.mark.parametrize("backend", ["loky", "threading"])
@each_class
def test_joblib_gives_the_same_bits(cls, backend, rng):
    X, y = data(cls, rng)
    estimator = make(cls).fit(X, y)
    # max_nbytes=1: workers get read-only memory maps, as they do for large arrays.
    with Parallel(n_jobs=2, backend=backend, **({"max_nbytes": 1} if backend == "loky" else {})) as workers:
        for fitted in workers(delayed(clone(estimator).fit)(X, y) for _ in range(2)):
            assert_same(answers(fitted, X), answers(estimator, X))
        for name, value in answers(estimator, X).items():
            if name != "inverse_transform":
                for said in workers(delayed(getattr(estimator, name))(X) for _ in range(2)):
                    np.testing.assert_array_equal(said, value)


# Models that grow with the data by nature, kept small: what is left to grow is what a fit keeps of the rows.
SMALL = {
    "BaggingForest": {"n_estimators": 10, "max_leaf_nodes": 8},
    "BaggingForestRegressor": {"n_estimators": 10, "max_leaf_nodes": 8},
    "RNNLanguageModel": {"max_iter": 1},
    "TransformerLanguageModel": {"max_iter": 1},
}


@each_class
def test_the_training_set_is_not_kept(cls, rng):
    sizes, params = [], SMALL.get(cls.__name__)
    for n in (200, 1200):
        X, y = data(cls, rng, n=n, p=30)
        if hasattr(cls, "recommend"):  # what it holds are users, items and what these said of those
            X[:, :2] = rng.integers(10, size=(n, 2))
        if hasattr(cls, "ope_score"):  # what it holds are states, which are the distinct observations
            X = X[rng.integers(20, size=n)]
        estimator = make(cls, params).fit(X, y)
        sizes.append(len(pickle.dumps(estimator)))
        assert not any(
            np.shares_memory(X, value) for value in vars(estimator).values() if isinstance(value, np.ndarray)
        )
    # Labels of the rows may grow with them; the rows themselves are 240 bytes each.
    assert sizes[1] - sizes[0] < 1000 * 30 * 8 / 4


@each_class
def test_nothing_but_data_is_held(cls, rng):
    X, y = data(cls, rng)
    for name, value in vars(make(cls).fit(X, y)).items():
        assert not hasattr(value, "fileno"), name
        assert type(value).__module__.split(".")[0] not in ("threading", "_thread", "threadpoolctl", "joblib"), name
        assert type(value).__name__ not in ("generator", "memoryview", "_memoryviewslice"), name


@each_class
def test_warm_start_after_a_save_completes_the_fit(cls, rng):
    # max_iter counts all iterations: a fit cut short, saved and continued is the uninterrupted one.
    if not {"warm_start", "max_iter"} <= cls().get_params().keys():
        return
    X, y = data(cls, rng)
    X = X + rng.normal(size=X.shape) * 5
    short = make(cls).set_params(max_iter=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *args, **kwargs: None)  # that two iterations don't converge is the point
        short.fit(X, y)
        whole = make(cls).set_params(max_iter=6).fit(X, y)
        resumed = pickle.loads(pickle.dumps(short)).set_params(warm_start=True, max_iter=6).fit(X, y)
    assert_same(answers(resumed, X), answers(whole, X))
