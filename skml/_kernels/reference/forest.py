"""Twin of forest.pyx: walks through trees, in plain NumPy."""

import numpy as np


def check(nodes, roots, set_features, n_columns, n_leaves):
    """Raise unless every link of a forest leads down to a later node or a leaf, and every feature is a column."""
    links, n = nodes[:, :2], len(nodes)
    if nodes.shape[1] != 4 or np.any((roots < -n_leaves) | (roots >= n)):
        raise ValueError("nodes and roots are not those of a forest.")
    if np.any((set_features < 0) | (set_features >= n_columns)):
        raise ValueError("set_features must be columns.")
    if np.any((links >= n) | (links < -n_leaves) | ((links >= 0) & (links <= np.arange(n)[:, None]))):
        raise ValueError("a node leads to no later node and no leaf.")
    if np.any((nodes[:, 2] < 0) | (nodes[:, 2] >= np.where(nodes[:, 3] >> 8 == 2, len(set_features), n_columns))):
        raise ValueError("a node asks a column that isn't there.")


def sum_values(nodes, roots, set_features, sets, codes, numbers, values, n_pure, sums, n_threads):
    """Write the sums over the trees of what the leaves say."""
    leaves = np.empty((len(codes), len(roots)), np.int32)
    if len(codes) != len(sums) or (len(values) and values.shape[1] != sums.shape[1]) or n_pure > sums.shape[1]:
        raise ValueError("codes, values and sums disagree in shape.")
    find_leaves(nodes, roots, set_features, sets, codes, leaves, n_threads)
    known = np.concatenate([np.eye(n_pure, sums.shape[1]), values])
    sums[...] = 0
    for reached in leaves.T:
        sums += known[numbers[reached] if len(numbers) else reached]


def find_leaves(nodes, roots, set_features, sets, codes, leaves, n_threads):
    """Write the leaf that each row reaches in each tree."""
    sound = len(roots) and (len(nodes) == 0 or nodes.shape[1] == 4) and len(sets) == len(set_features)
    if not sound or leaves.shape != (len(codes), len(roots)) or (len(sets) and sets.shape[1] != 8):
        raise ValueError("nodes, roots, set_features, sets and leaves disagree in shape.")
    for t, root in enumerate(roots):
        at = np.full(len(codes), root, np.int64)
        while np.any(at >= 0):
            rows = np.flatnonzero(at >= 0)
            right = _goes_right(nodes[at[rows], 2:], set_features, sets, codes, rows)
            at[rows] = nodes[at[rows], right]
        leaves[:, t] = ~at


def _goes_right(questions, set_features, sets, codes, rows):
    """Kind 1 sends a missing value, 255, left: adding 1 makes 0 of it. Kind 2 asks a set of categories."""
    asked, bounds, kinds = questions[:, 0], questions[:, 1] & 255, questions[:, 1] >> 8
    by_set = kinds == 2
    features = np.where(by_set, np.append(set_features, 0)[np.where(by_set, asked, -1)], asked)
    code = codes[rows, features].astype(np.int64)
    words = np.append(sets.reshape(-1), np.uint32(0))[np.where(by_set, asked * 8 + (code >> 5), -1)]
    return np.where(by_set, 1 - (words.astype(np.int64) >> (code & 31) & 1), (code + kinds) % 256 > bounds)
