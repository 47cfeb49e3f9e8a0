"""Sequences: losses by hand and by differences, streams, and training that carries states from batch to batch."""

import numpy as np
import pytest
from _contract.gradients import check_gradients, check_layer

from skml.network import (
    SGD,
    Adam,
    CrossEntropy,
    Data,
    Dropout,
    EmbeddedRecurrent,
    Job,
    Linear,
    Mode,
    Plan,
    Program,
    Recurrent,
    SequenceCrossEntropy,
    Sequences,
    Sequential,
    StreamOrder,
    cross_entropy,
    evaluate,
    sequence_cross_entropy,
    start_training,
    stream_windows,
    training_steps,
)


def drawn(rng, B=3, T=4, V=6):
    return rng.normal(size=(B, T, V)), rng.integers(-1, V, size=(B, T)).astype(np.int32)


@pytest.mark.parametrize("weighted", ["no", "rows", "tokens"])
def test_gradient_is_that_of_the_weighted_mean(rng, weighted):
    z, y = drawn(rng)
    y[0, 0] = 2  # one token has a target at least
    w = {"no": None, "rows": rng.random(3) + 0.1, "tokens": rng.random((3, 4)) + 0.1}[weighted]
    full = np.ones((3, 4)) if w is None else np.broadcast_to(w.reshape(3, -1), (3, 4))
    _, dz = sequence_cross_entropy(z, y, w)

    def mean():
        losses, _ = sequence_cross_entropy(z, y, w)
        return np.array([(losses * full).sum() / full[y >= 0].sum()])

    check_gradients(mean, [z], [dz.copy()], np.ones(1), rng)


def test_tokens_are_rows_of_the_plain_loss(rng):
    z, y = drawn(rng, V=300)
    losses, dz = sequence_cross_entropy(z, y, n_threads=2)
    known = y >= 0
    expected, gradient = cross_entropy(z[known], y[known])
    np.testing.assert_allclose(losses[known], expected, rtol=1e-12)
    np.testing.assert_allclose(dz[known], gradient, rtol=1e-9, atol=1e-15)
    assert not losses[~known].any()
    assert not dz[~known].any()


def test_the_gradient_may_replace_the_outputs(rng):
    z, y = drawn(rng)
    losses, dz = sequence_cross_entropy(z, y)
    again, where = sequence_cross_entropy(z, y, out=z)
    assert where is z
    assert np.array_equal(z, dz)
    assert np.array_equal(losses, again)


def test_without_targets_there_is_no_loss(rng):
    z, _ = drawn(rng)
    losses, dz = sequence_cross_entropy(z, np.full((3, 4), -1, np.int32))
    assert not losses.any()
    assert not dz.any()
    with pytest.raises(ValueError):
        sequence_cross_entropy(z, np.full((3, 4), 6, np.int32))


def test_weight_k_is_k_copies(rng):
    z, y = drawn(rng)
    y[:, 0] = 1
    loss, k = SequenceCrossEntropy(in_place=False), np.array([2.0, 0.0, 3.0])
    copies = np.repeat(np.arange(3), k.astype(int))
    weights = loss.weights(y, k)
    losses, dz = loss(z, y, weights)
    of_copies, dz_of_copies = loss(z[copies], y[copies], loss.weights(y[copies], None))
    assert losses @ weights == pytest.approx(of_copies @ loss.weights(y[copies], None))
    assert weights.sum() == loss.weights(y[copies], None).sum()
    np.testing.assert_allclose(dz[0], 2 * dz_of_copies[0], rtol=1e-12)
    assert not dz[1].any()
    assert loss.score(loss.tally(z, y, weights), y, weights) == pytest.approx(
        (z.argmax(axis=2) == y)[copies].sum() / (y[copies] >= 0).sum()
    )
    np.testing.assert_allclose(loss.link(z).sum(axis=2), 1)


def test_sequences_hand_on_where_documents_begin(rng):
    first = np.minimum(rng.integers(0, 5, size=(3, 5)), np.arange(5))
    x = np.stack([rng.integers(7, size=(3, 5)), first], axis=2)
    network = Sequences(Sequential([EmbeddedRecurrent(7, 3, 4, "gru"), Recurrent(3), Dropout(0.3), Linear(7)]))
    run = check_layer(network, (5, 2), rng, x=x)
    inner = Sequential(network.network.layers)
    y = run.forward(x, Mode()).copy()
    expected = inner.forward(x[..., 0].astype(np.int32), run.p, run.space.parts[0], Mode(first=first.astype(np.int32)))
    assert np.array_equal(y, expected)
    with pytest.raises(ValueError, match=r"samples \(T, 2\)"):
        network.output_shape((5, 3))
    assert network.cost((5, 2)) == inner.cost((5,))


def test_streams_by_hand():
    ids = np.array([3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
    X, y, n_chunks = stream_windows(ids, 2, 2, starts=(0, 3, 5))
    assert n_chunks == 2
    assert X[..., 0].astype(int).tolist() == [[3, 4], [7, 8], [5, 6], [9, 10]]
    assert X[..., 1].astype(int).tolist() == [[0, 0], [0, 1], [-2, 1], [-1, -1]]
    assert y.tolist() == [[4, 5], [-1, 9], [-1, 7], [10, 11]]
    assert X.dtype == np.float32
    with pytest.raises(ValueError, match="10 codes are too few for 5 streams"):
        stream_windows(ids, 2, 5)


def test_order_keeps_streams_whole(rng):
    rows = np.arange(2 * 3 * 4)  # two sets of four streams of three rows
    found = StreamOrder(3, 4)(rows, rng).reshape(2, 3, 4)
    assert sorted(found.ravel()) == rows.tolist()
    for streams in found:
        assert (np.diff(streams, axis=0) == 4).all()
        assert (streams[0] % 12 < 4).all()
    with pytest.raises(ValueError, match="23 rows are no whole sets of 4 streams of 3 rows"):
        StreamOrder(3, 4)(rows[:-1], rng)


def stream_job(rng, max_iter=3, max_steps=None, B=4, T=6, **others):
    """Return a job on a text whose next code depends on the one before it."""
    ids = np.cumsum(rng.integers(1, 3, size=8 * B * T + 1)) % 5
    X, y, n_chunks = stream_windows(ids, T, B)
    network = Sequences(Sequential([EmbeddedRecurrent(5, 4, 6, "gru", carry=B), Linear(5)]))
    plan = Plan(SequenceCrossEntropy(), Adam(1e-2), batch_size=B, max_iter=max_iter, max_steps=max_steps)
    order = StreamOrder(n_chunks, B)
    return Job(Program(network, (T, 2), seed=1), Data(X, y, arrange=order), plan, **others)


def run_to_the_end(job, start=None):
    *_, last = training_steps(job, start or start_training(job.program, job.plan.optimizer))
    return last.state


def test_a_training_taken_up_in_the_midst_of_a_stream_gives_the_same_bits(seed):
    whole = run_to_the_end(stream_job(np.random.default_rng(seed)))
    before = run_to_the_end(stream_job(np.random.default_rng(seed), max_steps=11))
    assert before.n_batches == 3
    assert before.states.any()
    after = run_to_the_end(stream_job(np.random.default_rng(seed)), before)
    assert np.array_equal(whole.parameters, after.parameters)
    assert np.array_equal(whole.states, after.states)


def test_validation_does_not_disturb_the_states_of_training(seed):
    alone = run_to_the_end(stream_job(np.random.default_rng(seed)))
    X, y, _ = stream_windows(np.arange(97) % 5, 6, 4)
    beside = run_to_the_end(stream_job(np.random.default_rng(seed), validation=Data(X, y)))
    assert np.array_equal(alone.parameters, beside.parameters)


def test_a_state_that_is_carried_remembers_what_no_row_holds(rng):
    """The first code of a stream comes again at the start of each row: only the state knows it."""
    B, T, n_chunks = 8, 2, 3
    secret = rng.permutation(np.repeat([1, 2], B // 2))
    x = np.zeros((n_chunks, B, T, 2), np.float32)
    x[0, :, 0, 0], x[1:, :, :, 1] = secret, -2
    y = np.full((n_chunks, B, T), -1, np.int32)
    y[1:, :, 0] = secret
    x, y = x.reshape(-1, T, 2), y.reshape(-1, T)
    x[-B:, :, 1] = -4
    network = Sequences(Sequential([EmbeddedRecurrent(3, 4, 8, "rnn", carry=B), Linear(3)]))
    plan = Plan(SequenceCrossEntropy(), Adam(2e-2), batch_size=B, max_iter=150)
    job = Job(Program(network, (T, 2), seed=0), Data(x, y, arrange=StreamOrder(n_chunks, B)), plan)
    state = run_to_the_end(job)
    job.program.parameters.flat[:] = state.parameters
    loss, score = evaluate(job, job.data)
    assert score == 1
    assert loss < 0.3
    x[..., 1] = 0  # without it there is nothing to go by
    loss, _ = evaluate(job, Data(x, y))
    assert loss > 0.5


def test_other_data_are_shuffled_as_before(rng):
    X, y = rng.normal(size=(20, 3)), rng.integers(2, size=20).astype(np.int32)

    def trained(**others):
        program = Program(Linear(2), (3,), np.float64)
        return run_to_the_end(Job(program, Data(X, y, **others), Plan(CrossEntropy(), SGD(), batch_size=4, max_iter=2)))

    anew = trained(arrange=lambda rows, generator: generator.permutation(rows))
    assert np.array_equal(trained().parameters, anew.parameters)
    assert not np.array_equal(trained().parameters, trained(arrange=lambda rows, generator: rows).parameters)
