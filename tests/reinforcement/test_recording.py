"""Records of many steps: a compiled call is short, and how many calls there are shows nowhere."""

import numpy as np
import pytest

from skml import _kernels
from skml.reinforcement import CartPole, FrozenLake, Taxi, recording, vectorize
from skml.reinforcement.policies import Actor, Mlp, Softmax, spaces_encoder
from skml.reinforcement.policy_learning import Learner, Plan, begin
from skml.reinforcement.policy_updates import _expected
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
        _kernels.rollouts, kernel.__name__, lambda *given: calls.append(len(given[-1][1])) or kernel(*given)
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


@pytest.mark.parametrize("is_compiled", [True, False])
def test_masks_are_known_of_all_rows(is_compiled):
    recorder, flat = recorder_of(Taxi(max_episode_steps=3), 4, 5)
    recorder.is_compiled = is_compiled
    for _ in range(4):
        record = recorder.play(flat)
        np.testing.assert_array_equal(record.masks, Taxi().dynamics.masks[record.rows.argmax(axis=1)])
    assert recorder_of(CartPole(), 2, 3)[0].play(np.zeros(74, np.float32)).masks is None


def test_a_critic_of_actions_takes_no_mean_over_what_is_not_there():
    vector = vectorize(Taxi(max_episode_steps=3), 4)
    sizes = (500, 6)
    actor = Actor(spaces_encoder(vector.observation_space), Softmax(6), Mlp(sizes), Mlp(sizes), "float64")
    learnt = begin(actor, 0)
    learner, record = Learner(Plan(critic="q"), learnt, 1), Recorder(vector, actor, 0, 5).play(learnt.flat)
    q = learner.actor.valued(record.rows, learner.flat, 1)
    policy = actor.head.probabilities(actor.judged(record.rows, learnt.flat)) * record.masks
    v = (policy * q).sum(axis=1) / policy.sum(axis=1)
    y = learner.values(record.rows)
    value, after, _ = _expected(learner, record.rows, y, record)
    np.testing.assert_allclose(value.ravel(), v[:20])
    assert (record.ended[1].sum(), after.shape) == (4, (5, 4))
    np.testing.assert_allclose(after[record.ended[1] > 0], v[24:])
    np.testing.assert_allclose(after[-1], v[20:24])


def test_no_compiled_call_does_more_than_some_work(monkeypatch):
    recorder, flat = recorder_of(CartPole(), 1000, 90, hidden=(64, 64))
    n_steps = watched(monkeypatch, _kernels.rollouts.play_control)
    recorder.play(flat)
    assert sum(n_steps) == 90
    assert len(n_steps) > 1
    assert max(n_steps) * 1000 * len(flat) <= recording.WORK
