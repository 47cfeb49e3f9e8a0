"""Slices of rows: all of them, none of much work unless it is a single row."""

import numpy as np
import pytest

from skml.recommendation.slices import row_slices, work_slices


def test_work_is_cut_into_slices(rng):
    work = rng.integers(0, 9, 50)
    slices = list(work_slices(work, 10))
    assert np.concatenate([np.arange(50)[part] for part in slices]).tolist() == list(range(50))
    assert all(work[part].sum() <= 10 for part in slices)
    assert [part.stop for part in work_slices(np.array([99, 99]), 10)] == [1, 2]
    assert list(work_slices(np.empty(0), 10)) == []


@pytest.mark.parametrize("per_row", [0, 1e5])
def test_rows_are_cut_by_their_entries(rng, per_row):
    indptr = np.append(0, np.cumsum(rng.integers(0, 200_000, size=300))).astype(np.int32)
    slices = row_slices(indptr, 200, per_row)
    assert np.concatenate([np.arange(300)[part] for part in slices]).tolist() == list(range(300))
    work = [200 * (indptr[part.stop] - indptr[part.start]) + per_row * (part.stop - part.start) for part in slices]
    assert 3 < len(slices) < 300
    assert max(work) <= 2e8
    assert row_slices(np.zeros(1, np.int32), 200) == []
    assert row_slices(np.array([0, 10**9], np.int32), 200) == [slice(0, 1)]
