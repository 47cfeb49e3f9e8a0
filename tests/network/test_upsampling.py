"""Upsampling: by hand, by differences, any size."""

import numpy as np
import pytest
from _contract.gradients import check_layer

from skml.network import Upsampling, interpolation_matrix, upsampling_forward

each_method = pytest.mark.parametrize("method", ["nearest", "bilinear"])


def test_nearest_repeats(rng):
    x = rng.normal(size=(2, 3, 4, 5))
    assert np.array_equal(upsampling_forward(x, (6, 12)), x.repeat(2, axis=1).repeat(3, axis=2))


def test_bilinear_by_hand():
    y = upsampling_forward(np.array([0.0, 4.0]).reshape(1, 2, 1, 1), (4, 2), "bilinear")
    assert y[0, :, :, 0].tolist() == [[0, 0], [1, 1], [3, 3], [4, 4]]


@each_method
@pytest.mark.parametrize("n_in", [1, 2, 5])
@pytest.mark.parametrize("n_out", [1, 3, 4, 10, 11])
def test_rows_are_means(method, n_in, n_out):
    matrix = interpolation_matrix(n_in, n_out, method)
    assert np.allclose(matrix.sum(axis=1), 1)
    assert (matrix >= 0).all()
    assert ((matrix > 0).sum(axis=1) <= (1 if method == "nearest" else 2)).all()
    if n_in == n_out:
        assert np.array_equal(matrix, np.eye(n_in))


@each_method
@pytest.mark.parametrize("options", [{"factor": 2}, {"factor": (1, 3)}, {"size": (7, 5)}, {"size": (2, 9)}], ids=str)
def test_gradients(rng, method, options):
    check_layer(Upsampling(method=method, **options), (4, 3, 2), rng)


def test_what_does_not_fit_is_refused_in_words():
    with pytest.raises(ValueError, match="method='cubic' of upsampling is unknown"):
        Upsampling(method="cubic")
    with pytest.raises(ValueError, match="factor must be a whole number of at least 1"):
        Upsampling(0)
    with pytest.raises(ValueError, match="Upsampling takes images"):
        Upsampling().output_shape((3,))
