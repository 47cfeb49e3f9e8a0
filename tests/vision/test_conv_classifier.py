"""ConvClassifier: what it learns, what it tells, what it refuses."""

import copy
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from skml import ConvClassifier
from skml.network import BatchNormalization, Convolution, GlobalPooling
from skml.vision.images import Images

DIGITS = load_digits()


def bars(rng, n=120, size=8, channels=1, dtype=np.float32):
    """Return images of upright and level bars, (n, size, size, channels), and which they are."""
    y = rng.integers(0, 2, size=n)
    y[:2] = 0, 1
    X = rng.normal(size=(n, size, size, channels)) * 0.3
    at = rng.integers(0, size, size=n)
    for image, upright, i in zip(X, y, at):
        (image[:, i] if upright else image[i])[...] += 2
    return X.astype(dtype), y


def quick(**params):
    return ConvClassifier(**{"filters": (8,), "max_iter": 15, "random_state": 0, **params})


# ---------------------------------------------------------------------------------------------- learning


def test_bars(rng):
    X, y = bars(rng, 300)
    assert quick(learning_rate_init=0.01).fit(X[:200], y[:200]).score(X[200:], y[200:]) > 0.9


def test_digits(seed):
    order = np.random.default_rng(seed).permutation(1797)
    X, y = DIGITS.data[order].astype(np.float32), DIGITS.target[order]
    classifier = ConvClassifier(random_state=seed).fit(X[:1300], y[:1300])
    # 0.974 on average with a deviation of 0.008, as of 497 rows: the bound is eight of them away
    assert classifier.score(X[1300:], y[1300:]) > 0.91
    assert classifier.image_shape_ == (8, 8, 1)
    assert classifier.n_iter_ == len(classifier.history_["loss"]) == 20
    assert classifier.n_parameters_ == 160 + 4640 + 1290


@pytest.mark.parametrize(
    "params",
    [
        {"residual": True, "normalization": "batch"},
        {"normalization": "batch", "activation": "gelu"},
        {"pool": None, "stride": 2, "hidden_layer_sizes": 16, "dropout": 0.1},
        {"pool": "average", "padding": "valid", "activation": "tanh"},
        {"architecture": [Convolution(8, activation="relu"), BatchNormalization(), GlobalPooling("max")]},
        {"solver": "sgd", "learning_rate": "one_cycle"},
        {"solver": "adamw", "weight_decay": 0.01, "learning_rate": "cosine"},
        {"augment": "flip", "learning_rate": lambda step, total: 1 - step / total},
        {"batch_size": 10**6, "learning_rate_init": 0.05, "max_iter": 40},
        {"label_smoothing": 0.1, "early_stopping": True},
    ],
    ids=lambda params: "-".join(params),  # the same in each process, as functions are not
)
def test_every_way_learns(params):
    X, y = bars(np.random.default_rng(3), 300)
    classifier = quick(**{"learning_rate_init": 0.01, "max_iter": 20, **params}).fit(X, y)
    assert classifier.score(X, y) > 0.85
    assert np.isfinite(classifier.predict_proba(X)).all()


def test_signals_of_several_channels(rng):
    y = rng.integers(0, 3, size=300)
    t = np.arange(40)[:, None]
    X = (
        np.sin(t * (0.3 + 0.4 * y[:, None, None]) + rng.uniform(0, 6, size=(300, 1, 2)))
        + rng.normal(size=(300, 40, 2)) / 3
    )
    classifier = ConvClassifier(image_shape=(40, 2), max_iter=15, random_state=0).fit(X[:200], y[:200])
    assert classifier.image_shape_ == (1, 40, 2)
    # 0.979 on average with a deviation of 0.014, as of 100 rows: the bound is nine of them away, and a guess gets 0.33
    assert classifier.score(X[200:], y[200:]) > 0.85
    flat = X.reshape(300, -1)
    np.testing.assert_array_equal(classifier.predict_proba(flat), classifier.predict_proba(X))


@pytest.mark.parametrize("channels", [1, 3])
def test_all_forms_of_images_are_the_same(rng, channels):
    X, y = bars(rng, channels=channels)
    shape = (8, 8, channels)
    plain = quick(image_shape=shape).fit(X.reshape(len(X), -1), y)
    said = plain.predict_proba(X)
    forms = {"4-D": X, "list": list(X), "read-only": X.copy()}
    forms["read-only"].setflags(write=False)
    for form in forms.values():
        np.testing.assert_array_equal(quick().fit(form, y).predict_proba(form), said)
    if channels == 1:
        np.testing.assert_array_equal(quick().fit(X[..., 0], y).predict_proba(X[..., 0]), said)
    first = quick(data_format="channels_first").fit(X.transpose(0, 3, 1, 2), y)
    assert first.image_shape_ == shape
    assert first.score(X.transpose(0, 3, 1, 2), y) == pytest.approx(plain.score(X, y), abs=0.1)


def test_labels_of_any_kind(rng):
    X, y = bars(rng)
    plain = quick().fit(X, y)
    for names in (
        np.array(["level", "upright"]),
        np.array([False, True]),
        np.array([-5, 7]),
        np.array(["a", "b"], object),
    ):
        other = quick().fit(X, names[y])
        np.testing.assert_array_equal(other.classes_, names)
        np.testing.assert_array_equal(other.predict(X), names[plain.predict(X)])


def test_several_labels_at_once(rng):
    X, upright = bars(rng, 300)
    y = np.c_[upright, X.mean(axis=(1, 2, 3)) > np.median(X.mean(axis=(1, 2, 3)))].astype(int)
    classifier = quick(learning_rate_init=0.01).fit(X, y)
    said = classifier.predict(X)
    assert (said[:, 0] == upright).mean() > 0.9
    np.testing.assert_array_equal(said, classifier.predict_proba(X) > 0.5)
    assert classifier.decision_function(X).shape == (300, 2)
    classifier.partial_fit(X, y)
    with pytest.raises(ValueError, match="class_weight needs one class per row"):
        quick(class_weight="balanced").fit(X, y)
    with pytest.raises(ValueError, match="y has 3 labels"):
        classifier.partial_fit(X, np.c_[y, y[:, 0]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("several", [False, True])
def test_logarithms_of_tiny_probabilities_are_finite(rng, dtype, several):
    X, y = bars(rng, dtype=dtype)
    classifier = quick(max_iter=2).fit(X, np.c_[y, 1 - y] if several else y)
    usual = classifier.predict_log_proba(X)
    np.testing.assert_allclose(usual, np.log(classifier.predict_proba(X)), rtol=1e-4, atol=1e-6)
    far = classifier.predict_log_proba(X * 1e5)
    assert usual.dtype == far.dtype == dtype
    assert np.isfinite(far).all()
    assert far.min() < -1000


def test_several_labels_are_smoothed(rng):
    X, y = bars(rng, 40)
    X[:] = X[0]  # one image: no answer is better than the mean of its targets
    y = np.c_[y, np.ones_like(y), np.zeros_like(y)]
    params = {"learning_rate_init": 0.1, "learning_rate": "cosine", "max_iter": 60, "batch_size": 40}
    classifier = quick(label_smoothing=0.4, **params).fit(X, y)
    expected = 0.6 * y.mean(axis=0) + 0.2
    np.testing.assert_allclose(classifier.predict_proba(X), np.tile(expected, (40, 1)), atol=0.03)
    assert (classifier.predict(X)[:, 1:] == y[:, 1:]).all()


# ----------------------------------------------------------------------------------------------- weights


def test_batches_that_weigh_little_change_little(rng):
    # a class of weight 1e-6 has nothing to say, even in batches where it is alone
    X, y = bars(rng, 200)
    y[:150] = 1
    classifier = quick(class_weight={0: 1.0, 1: 1e-6}, batch_size=4).fit(X, y)
    assert (classifier.predict(X) == 0).mean() > 0.9


def test_balanced_weights_are_those_of_the_rows(rng):
    X, y = bars(rng)
    weights = rng.integers(1, 4, size=len(X)) * 1.0
    held = np.bincount(y, weights)
    by_hand = weights * (held.sum() / (2 * held))[y]
    balanced = quick(class_weight="balanced").fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(balanced.predict_proba(X), quick().fit(X, y, by_hand).predict_proba(X), atol=1e-4)


def test_heavy_rows_are_copies(rng):
    X, y = bars(rng, 60, dtype=np.float64)
    weights = np.ones(60, dtype=int)
    weights[:3] = 40
    heavy = quick().fit(X, y, sample_weight=weights)
    copies = quick().fit(np.repeat(X, weights, axis=0), np.repeat(y, weights))
    np.testing.assert_allclose(heavy.predict_proba(X), copies.predict_proba(X), atol=1e-9)


@pytest.mark.parametrize("bad", [{0: -1.0}, {0: np.nan}, {5: 1.0}, {0: 0.0, 1: 0.0}])
def test_bad_class_weights(rng, bad):
    with pytest.raises(ValueError, match="class_weight"):
        quick(class_weight=bad).fit(*bars(rng))


# ------------------------------------------------------------------------------------- going on, stopping


def test_partial_fit_learns_batch_by_batch(rng):
    X, y = bars(rng, 300)
    names = np.array(["level", "upright"])[y]
    classifier = quick(learning_rate_init=0.01)
    for _ in range(15):
        for start in range(0, 300, 100):
            some = slice(start, start + 100)
            classifier.partial_fit(X[some], names[some], classes=["upright", "level", "tilted"])
    assert classifier.n_iter_ == len(classifier.history_["loss"]) == 45
    assert classifier.classes_.tolist() == ["level", "tilted", "upright"]
    assert classifier.score(X, names) > 0.9


def test_partial_fit_says_what_it_needs(rng):
    X, y = bars(rng)
    with pytest.raises(ValueError, match="needs classes in its first call"):
        quick().partial_fit(X, y)
    classifier = quick().partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match="not those of the first call"):
        classifier.partial_fit(X, y, classes=[0, 2])
    with pytest.raises(ValueError, match="y holds 2, none of the classes"):
        classifier.partial_fit(X, y + 1)
    with pytest.raises(ValueError, match="needs all rows at once"):
        quick(class_weight="balanced").partial_fit(X, y, classes=[0, 1])
    one = X[y == 0]
    assert classifier.partial_fit(one, np.zeros(len(one), dtype=int)).n_iter_ == 2  # a class may be absent


def test_warm_start_goes_on_where_it_stopped(rng):
    X, y = bars(rng)
    whole = quick(max_iter=6).fit(X, y)
    classifier = quick(max_steps=13, max_iter=6).fit(X, y)  # within an epoch
    assert classifier.n_steps_ == 13
    classifier.set_params(warm_start=True, max_steps=None).fit(X, y)
    np.testing.assert_array_equal(classifier.predict_proba(X), whole.predict_proba(X))
    assert (classifier.n_iter_, classifier.n_steps_) == (whole.n_iter_, whole.n_steps_)
    before = classifier.predict_proba(X)
    classifier.fit(X, y)  # nothing is left to do
    assert (classifier.n_iter_, classifier.n_steps_) == (whole.n_iter_, whole.n_steps_)
    np.testing.assert_array_equal(classifier.predict_proba(X), before)


def test_warm_start_refuses_another_network(rng):
    X, y = bars(rng)
    classifier = quick(warm_start=True, max_iter=2).fit(X, y)
    with pytest.raises(ValueError, match="ask for another network"):
        classifier.set_params(filters=(9,)).fit(X, y)
    with pytest.raises(ValueError, match="none of the classes"):
        classifier.set_params(filters=(8,)).fit(X, y + 1)
    assert classifier.n_iter_ == 2


@pytest.mark.parametrize("way", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"solver": "sgd"}, "ask for solver='sgd'"),
        ({"dtype": "float64"}, "ask for dtype='float64'"),
        ({"image_shape": (4, 16, 1)}, "ask for images of 4 x 16 x 1, channels last; those of the last fit were 8 x 8"),
        ({"data_format": "channels_first"}, "ask for images of 8 x 8 x 1, channels first"),
    ],
)
def test_going_on_refuses_other_settings(rng, way, params, message):
    X, y = bars(rng)
    X = X.reshape(len(X), -1)
    classifier = quick(warm_start=True, max_iter=2).fit(X, y)
    before = dict(vars(classifier))
    with pytest.raises(ValueError, match=message):
        getattr(classifier.set_params(**params), way)(X, y)
    assert vars(classifier) == {**before, **params}
    old = {name: before[name] for name in params}
    assert getattr(classifier.set_params(**{**old, "solver": "adamw", "max_iter": 3}), way)(X, y).n_iter_ == 3


def test_warm_start_refuses_images_of_another_shape(rng):
    X, y = bars(rng)
    classifier = quick(warm_start=True, max_iter=2).fit(X, y)
    before = dict(vars(classifier))
    for other in (X[:, :, :6], X[:, :7, :7].reshape(len(X), -1), np.concatenate([X, X], axis=3)):
        with pytest.raises(ValueError, match="ask for images of"):
            classifier.fit(other, y)
        assert vars(classifier) == before
    assert classifier.set_params(max_iter=3).fit(X.reshape(len(X), -1), y).n_iter_ == 3


@pytest.mark.parametrize("batch_size", [10**12, "auto"])
def test_a_batch_holds_no_more_than_all_rows(rng, batch_size):
    X, y = bars(rng, 7)
    assert quick(batch_size=batch_size, max_iter=2).fit(X, y).n_steps_ == 2


def test_max_steps(rng):
    X, y = bars(rng)
    assert quick(max_steps=5).fit(X, y).n_steps_ == 5


def test_early_stopping_keeps_the_best_epoch(rng):
    X, y = bars(rng, 200)
    y = np.where(rng.random(200) < 0.3, 1 - y, y)
    classifier = quick(early_stopping=True, n_iter_no_change=3, max_iter=60, learning_rate_init=0.01).fit(X, y)
    scores = classifier.history_["validation_score"]
    assert classifier.n_iter_ == len(scores) < 60
    assert max(scores[-3:]) <= max(scores[:-3]) + 1e-4
    assert set(classifier.history_) == {"loss", "learning_rate", "validation_loss", "validation_score"}


def test_a_class_of_one_row_is_left_to_learn_from(rng):
    X, y = bars(rng, 40)
    y[0] = 2
    classifier = quick(early_stopping=True, validation_fraction=0.5, max_iter=3).fit(X, y)
    assert classifier.classes_.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="validation_fraction"):
        quick(early_stopping=True).fit(X[:2], [0, 1])


# -------------------------------------------------------------------------------------------------- tells


def test_summary_is_the_table_of_the_network(rng):
    lines = quick().fit(*bars(rng)).summary().split("\n")
    assert [line.split()[1] for line in lines[1:-1]] == ["Convolution", "Pooling", "Flatten", "Linear"]
    assert lines[-1].split() == ["total", "338", "4,864"]


def test_transform_and_the_last_layer_make_the_decision(rng):
    X, y = bars(rng)
    classifier = quick().fit(X, y)
    features = classifier.transform(X)
    assert features.shape == (120, 128) == (len(X), len(classifier.get_feature_names_out()))
    assert features.dtype == np.float32
    last = classifier.pool_.program.parameters
    z = features @ last["3.weight"] + last["3.bias"]
    np.testing.assert_allclose(z[:, 1] - z[:, 0], classifier.decision_function(X), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(classifier.feature_maps(X, -2), features)


def test_feature_maps(rng):
    X, y = bars(rng)
    classifier = quick().fit(X, y)
    maps = classifier.feature_maps(X, 0)
    assert maps.shape == (120, 8, 8, 8)
    largest = maps.reshape(120, 4, 2, 4, 2, 8).max(axis=(2, 4))  # relu follows the pooling
    np.testing.assert_array_equal(np.maximum(largest, 0), classifier.feature_maps(X, "1"))
    for layer in (4, -5, "pool"):
        with pytest.raises(ValueError, match=r"(?s)none of 0 to 3.*Convolution"):
            classifier.feature_maps(X, layer)


@pytest.mark.parametrize("form", ["flat", "channels_last", "channels_first"])
def test_saliency_is_the_gradient(rng, form):
    X, y = bars(rng, 40, 6, 2, np.float64)
    X = X * [1, 50]
    if form == "channels_first":
        X = np.ascontiguousarray(X.transpose(0, 3, 1, 2))
    X = X.reshape(40, -1) if form == "flat" else X
    params = {"data_format": form} if form != "flat" else {"image_shape": (6, 6, 2)}
    classifier = quick(activation="tanh", pool="average", normalization="batch", **params).fit(X, y)
    found = classifier.saliency(X[:3], 1) - classifier.saliency(X[:3], 0)
    assert found.shape == X[:3].shape
    direction = rng.normal(size=X[:3].shape)
    step = 1e-5
    ahead, behind = (classifier.decision_function(X[:3] + sign * step * direction) for sign in (1, -1))
    expected = (ahead - behind) / (2 * step)
    np.testing.assert_allclose((found * direction).reshape(3, -1).sum(axis=1), expected, rtol=1e-5, atol=1e-8)


def test_saliency_of_the_most_probable_class(rng):
    X, y = bars(rng)
    names = np.array(["a", "b"])[y]
    classifier = quick().fit(X, names)
    np.testing.assert_array_equal(classifier.saliency(X), classifier.saliency(X, classifier.predict(X)))
    with pytest.raises(ValueError, match="none of"):
        classifier.saliency(X, "c")
    with pytest.raises(ValueError, match="2 entries for 120 rows"):
        classifier.saliency(X, ["a", "b"])


# --------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"padding": "valid", "kernel_size": 9}, "A window of 9 does not fit an axis of 8"),
        ({"padding": "valid", "filters": (4, 4, 4, 4)}, "(?s)cannot follow.*layer +output.*1  Pooling +3 x 3 x 4"),
        ({"image_shape": (8, 9, 1)}, "holds images of 8 x 8 x 1"),
        ({"kernel_size": (3, 3)}, "kernel_size must be one size or one for each of 1 filters"),
        ({"architecture": ["conv"]}, "architecture must hold layers"),
        ({"architecture": [GlobalPooling(), Convolution(3)]}, "(?s)Convolution.*cannot follow.*GlobalPooling"),
        ({"filters": (10**9,)}, "would take .* GiB"),
    ],
)
def test_impossible_networks(rng, params, message):
    classifier = quick(**params)
    with pytest.raises((ValueError, MemoryError), match=message):
        classifier.fit(*bars(rng))
    assert not hasattr(classifier, "n_features_in_")


def test_other_images_at_predict(rng):
    X, y = bars(rng)
    classifier = quick().fit(X, y)
    with pytest.raises(ValueError, match="X holds images of 8 x 8 x 3.*those of fit were 8 x 8 x 1"):
        classifier.predict(np.repeat(X, 3, axis=3))
    with pytest.raises(ValueError, match="X has 63 features"):
        classifier.predict(np.zeros((2, 63)))


def test_constant_and_odd_images(rng):
    X, y = bars(rng)
    classifier = quick(max_iter=2).fit(np.full_like(X, 3), y)
    assert np.isfinite(classifier.predict_proba(X)).all()
    with pytest.raises(ValueError, match="NaN"):
        quick().fit(np.where(np.arange(64).reshape(8, 8, 1) == 5, np.nan, X), y)
    with pytest.raises(ValueError, match="needs rows of at least two classes"):
        quick().fit(X, np.zeros(len(X)))
    with pytest.raises(ValueError, match="requires y to be passed"):
        quick().fit(X, None)


def test_a_rate_that_diverges_keeps_finite_weights(rng):
    X, y = bars(rng)
    with pytest.warns(ConvergenceWarning, match="diverged in epoch"):
        classifier = quick(solver="sgd", learning_rate_init=1e6, filters=(8, 8), hidden_layer_sizes=(8,)).fit(X, y)
    assert np.isfinite(classifier.predict_proba(X)).all()


def test_bytes_and_floats(rng):
    X, y = bars(rng)
    X = (255 * (X - X.min()) / (X.max() - X.min())).astype(np.uint8)
    on_bytes = quick().fit(X, y)
    said = on_bytes.predict_proba(X)
    assert said.dtype == np.float32
    assert isinstance(on_bytes.images_, Images)
    assert on_bytes.images_.kind == "bytes"
    np.testing.assert_allclose(on_bytes.predict_proba(X.astype(np.float64)), said, atol=1e-6)
    with pytest.warns(UserWarning, match="Multiply by 255"):
        on_bytes.predict_proba(X / 255)
    on_unit = quick().fit(X / 255, y)
    np.testing.assert_allclose(on_unit.predict_proba(X), on_unit.predict_proba(X / 255), atol=1e-9)


def test_the_dtype_can_be_chosen(rng):
    X, y = bars(rng)
    assert quick(dtype="float64").fit(X, y).predict_proba(X).dtype == np.float64
    assert quick(dtype="float32").fit(X.astype(np.float64), y).transform(X).dtype == np.float32


def test_a_failed_fit_changes_nothing(rng):
    X, y = bars(rng)
    classifier = quick().fit(X, y)
    said = classifier.predict_proba(X)

    def spoil(x, generator):
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        classifier.set_params(augment=spoil).fit(X[::2], y[::2])
    np.testing.assert_array_equal(classifier.predict_proba(X), said)


def test_a_copy_goes_its_own_way(rng):
    X, y = bars(rng)
    classifier = quick(max_iter=3).fit(X, y)
    classifier.predict(X[:1])  # leaves buffers behind
    said = classifier.predict_proba(X)
    twin = copy.copy(classifier)
    twin.partial_fit(X, y)
    np.testing.assert_array_equal(classifier.predict_proba(X), said)
    np.testing.assert_allclose(classifier.predict_proba(X[:1]), said[:1], atol=1e-6)


def test_one_row_at_a_time_is_the_same(rng):
    X, y = bars(rng, 70)
    classifier = quick(max_iter=3).fit(X, y)
    with warnings.catch_warnings(action="error"):
        singly = np.concatenate([classifier.predict_proba(X[i : i + 1]) for i in range(70)])
    np.testing.assert_allclose(singly, classifier.predict_proba(X), atol=1e-6)
