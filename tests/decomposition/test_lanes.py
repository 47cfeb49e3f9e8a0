"""Lanes: results in order, and a prompt end when one of them fails or is interrupted."""

import threading

import pytest

from skml.decomposition import lanes


@pytest.mark.parametrize(("size", "n_lanes"), [(0, 3), (1, 3), (10, 3), (12, 4), (5, 1)])
def test_lanes_and_blocks_cover_everything_once(size, n_lanes):
    parts = [block for lane in lanes.lanes(size, n_lanes) for block in lanes.blocks(lane, 2)]
    assert [i for part in parts for i in range(size)[part]] == list(range(size))


@pytest.mark.parametrize("threads", [1, 2])
def test_results_come_in_the_order_of_the_parts(monkeypatch, threads):
    monkeypatch.setattr(lanes, "n_threads", lambda: threads)
    assert lanes.in_lanes(lambda part: -part, list(range(9))) == [-part for part in range(9)]


@pytest.mark.parametrize("failing", [0, 2])
@pytest.mark.parametrize("error", [KeyboardInterrupt, FloatingPointError])
def test_other_lanes_end_at_their_next_block(monkeypatch, error, failing):
    monkeypatch.setattr(lanes, "n_threads", lambda: 2)
    both, worked, stopped = threading.Barrier(2), [], []

    def work(lane):
        try:
            for block in lanes.blocks(lane, 1):
                worked.append(block.start)
                both.wait(60)
                if lane.start == failing:
                    raise error
                lanes._lane.stop.wait(60)  # until the main thread has seen the error
        except lanes.LaneStopped:
            stopped.append(lane.start)
            raise

    with pytest.raises(error):
        lanes.in_lanes(work, lanes.lanes(4, 2))
    assert sorted(worked) == [0, 2]
    assert stopped == [2 - failing]
