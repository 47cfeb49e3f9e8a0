"""Images shown as they might have been as well."""

import numpy as np
import pytest

from skml.vision.augmentation import AUGMENTATIONS, crop, flip, shift


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("shape", [(9, 16, 16, 3), (5, 1, 40, 2), (3, 1, 1, 1), (1, 8, 8, 1)])
def test_shape_type_and_numbers_are_kept(rng, name, shape):
    x = rng.normal(size=shape).astype(np.float32)
    kept = x.copy()
    shown = AUGMENTATIONS[name](x, np.random.default_rng(1))
    assert shown.shape == x.shape
    assert shown.dtype == x.dtype
    assert np.isin(shown, kept).all()
    np.testing.assert_array_equal(shown, AUGMENTATIONS[name](kept, np.random.default_rng(1)))


def test_shift_is_one_step_for_all_pixels_of_an_image(rng):
    x = np.zeros((200, 16, 16, 1))
    x[:, 8, 8] = 1
    at = np.argwhere(shift(x, rng)[..., 0])
    assert len(at) == 200
    assert set(at[:, 1]) == set(at[:, 2]) == set(range(6, 11))


def test_flip_mirrors_about_half(rng):
    x = rng.normal(size=(400, 3, 4, 2))
    shown = flip(x, rng)
    mirrored = (shown == x[:, :, ::-1]).all(axis=(1, 2, 3))
    assert ((shown == x).all(axis=(1, 2, 3)) ^ mirrored).all()
    assert 120 < mirrored.sum() < 280


def test_crop_shows_a_window_in_order(rng):
    x = np.broadcast_to(np.arange(32.0)[:, None, None], (50, 32, 32, 1))
    shown = crop(x, rng)[:, :, 0, 0]
    assert (np.diff(shown) >= 0).all()
    assert (shown[:, -1] - shown[:, 0] >= 0.75 * 32 - 2).all()
