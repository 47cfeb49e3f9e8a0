"""Records of many steps: a compiled call is short, and how many calls there are shows nowhere."""

import numpy as np
import pytest

from skml import _kernels
from skml.reinforcement import CartPole, FrozenLake, Taxi, recording, vectorize
from skml.reinforcement.policies import Actor, Mlp, Softmax, spaces_encoder
from skml.reinforcement.recording import Recorder


def recorder_of(world, n_envs, n_steps, go_on=True, hidden=(9,)):
    """Return a recorder and the parameters of its policy."""
    vector = vectorize(world, n_envs)
    encoder, n_actions = spaces_encoder(vector.observation_space), vector.action_space.n
    actor = Actor(encoder, Softmax(n_actions), Mlp((encoder.n_features, *hidden, n_actions)), None, "float32")
    recorder = Recorder(vector, actor, 11, n_steps, go_on)
    assert recorder.is_compiled
    return recorder, actor.initial(np.random.default_rng(5)).flat


def watched(monkeypatch, kernel):
    """Return a list that is going to hold the steps of each call of a kernel."""
    calls = []
    monkeypatch.setattr(
        _kernels.actors, kernel.__name__, lambda *given: calls.append(len(given[-1][1])) or kernel(*given)
    )
    return calls


@pytest.mark.parametrize("world", [CartPole(max_episode_steps=15), FrozenLake(max_episode_steps=4), Taxi()])
@pytest.mark.parametrize("go_on", [True, False])
@pytest.mark.parametrize("n_calls", [2, 7, 20])
def test_pieces_of_a_record_are_the_record(world, go_on, n_calls, monkeypatch):
    found = []
    for pieces in (1, n_calls):
        recorder, flat = recorder_of(world, 5, 20, go_on)
        piece = -(-20 // pieces)
        monkeypatch.setattr(recording, "WORK", piece * 5 * (len(flat) + recording.OTHER) + 0.5)
        calls = watched(monkeypatch, recorder._task()[0])
        found.append([recorder.play(flat).copy() for _ in range(3)])
        monkeypatch.undo()
        assert sum(calls) == 60
        assert len(calls) == 3 * -(-20 // piece)
    for whole, parts in zip(*found):
        assert whole.n_truncated == parts.n_truncated
        for name in ("rows", "actions", "reward", "ended", "totals", "there", "allowed"):
            np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name), err_msg=name)
    if go_on and not isinstance(world, Taxi):
        assert sum(record.n_truncated for record in found[0]) > 0


def test_no_compiled_call_does_more_than_some_work(monkeypatch):
    recorder, flat = recorder_of(CartPole(), 1000, 90, hidden=(64, 64))
    n_steps = watched(monkeypatch, _kernels.actors.play_control)
    recorder.play(flat)
    assert sum(n_steps) == 90
    assert len(n_steps) > 1
    assert max(n_steps) * 1000 * len(flat) <= recording.WORK
