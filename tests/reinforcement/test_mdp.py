import numpy as np

from skml.reinforcement import FiniteMDP


def test_a_terminal_state_has_no_pairs():
    stay, go = [[1, 0], [0, 1]], [[0.1, 0.9], [0, 1]]
    mdp = FiniteMDP([stay, go], [[0, -1], [0, 0]])
    np.testing.assert_array_equal(mdp.offsets, [0, 2, 2])
    np.testing.assert_array_equal(mdp.pair_actions, [0, 1])
