"""One buffer and its views: names, twins, files, copies; and what the initialisers draw."""

import copy
import pickle

import numpy as np
import pytest

from skml import network
from skml.network import Parameters, Spec, initialize

SHAPES = {"0.weight": (2, 3), "0.bias": (3,), "3.block.1.weight": (3, 1)}


def made():
    return Parameters(SHAPES, np.arange(12.0))


def test_views_are_views_in_order():
    parameters = made()
    parameters["0.bias"][1] = -1
    assert parameters.flat[7] == -1
    assert parameters["3.block.1.weight"].ravel().tolist() == [9, 10, 11]
    assert list(parameters) == list(SHAPES)
    assert parameters.count == 12
    assert "float64" in repr(parameters)


def test_the_tree_goes_by_layer():
    tree = made().tree()
    assert tree["3"]["block"]["1"]["weight"].tolist() == [[9], [10], [11]]
    assert set(tree["0"]) == {"weight", "bias"}


def test_twins_have_buffers_of_their_own():
    parameters = made()
    zero, same = parameters.like(), parameters.copy()
    parameters.flat[:] = 7
    assert not zero.flat.any()
    assert same.flat.tolist() == list(range(12))
    assert list(zero) == list(parameters)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_copies_are_one_buffer_still(again):
    other = again(made())
    other.flat[:] = 5
    assert (other["0.weight"] == 5).all()


def test_save_and_load_are_the_identity(tmp_path):
    parameters, path = made(), tmp_path / "weights.npz"
    parameters.save(path)
    parameters.save(path)  # over an older file
    other = parameters.like()
    other.load(path)
    assert np.array_equal(other.flat, parameters.flat)
    assert [found.name for found in tmp_path.iterdir()] == ["weights.npz"]


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ({"0.weight": (2, 3), "0.bias": (3,)}, "3.block.1.weight has no place here"),
        ({**SHAPES, "0.bias": (1, 3)}, r"0.bias has shape \(3,\), expected \(1, 3\)"),
        ({**SHAPES, "more": (1,)}, "more is missing"),
    ],
)
def test_other_arrays_are_refused(tmp_path, shapes, words):
    made().save(tmp_path / "a.npz")
    other = Parameters(shapes, np.zeros(sum(int(np.prod(s)) for s in shapes.values())))
    with pytest.raises(ValueError, match=words):
        other.load(tmp_path / "a.npz")
    assert not other.flat.any()


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    parameters = made()
    parameters.flat[3] = np.nan
    parameters.save(tmp_path / "a.npz")
    with pytest.raises(ValueError, match="not finite"):
        made().load(tmp_path / "a.npz")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    parameters, path = made(), tmp_path / "a.npz"
    parameters.save(path)
    before = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError("full")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="full"):
        parameters.save(path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_a_buffer_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"12 numbers together, the buffer is of shape \(11,\)"):
        Parameters(SHAPES, np.zeros(11))


@pytest.mark.parametrize(
    ("name", "variance"), [("he_uniform", 2 / 300), ("he_normal", 2 / 300), ("glorot_uniform", 0.004)]
)
def test_initialisers_draw_with_the_variance_of_their_paper(rng, name, variance):
    values = getattr(network, name)(rng, (300, 200), 300, 200, np.float64)
    assert values.var() == pytest.approx(variance, rel=0.05)
    assert abs(values.mean()) < 5 * np.sqrt(variance / values.size)


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (3, 3, 2, 5), (1, 1)])
def test_orthogonal_is(rng, shape):
    w = network.orthogonal(rng, shape, 1, 1, np.float64).reshape(-1, shape[-1])
    gram = w.T @ w if len(w) >= w.shape[1] else w @ w.T
    assert np.allclose(gram, np.eye(len(gram)))


@pytest.mark.parametrize("name", ["he_uniform", "he_normal", "glorot_uniform", "orthogonal", "zeros", "ones"])
def test_both_dtypes_begin_alike(seed, name):
    function = getattr(network, name)
    draw = [function(np.random.default_rng(seed), (5, 4), 5, 4, dtype) for dtype in (np.float32, np.float64)]
    assert [values.dtype for values in draw] == [np.float32, np.float64]
    assert np.array_equal(draw[0], draw[1].astype(np.float32))


def test_initialize_follows_the_specs(seed):
    specs = [Spec("a", (2, 2), network.ones), Spec("b", (4, 3), network.he_normal, 4, 3), Spec("c", (3,))]
    one, two = (initialize(specs, np.float32, np.random.default_rng(seed)) for _ in range(2))
    assert np.array_equal(one.flat, two.flat)
    assert (one["a"] == 1).all()
    assert not one["c"].any()
    assert one.flat.dtype == np.float32
    assert initialize([], np.float64, np.random.default_rng(0)).count == 0
