"""Twin of kmeans.pyx: the definition of nearest centres, in plain NumPy."""

import numpy as np


def layout(centers):
    """Return (widest narrow row, lanes per vector)."""
    return 32, 1


def all_distances(X, centers, missing, squared, n_threads):
    """Write the squared distances of all rows to all centres."""
    if X.shape[1] != centers.shape[1] or squared.shape != (len(X), len(centers)):
        raise ValueError("X, centers and squared disagree in shape.")
    for j, center in enumerate(centers):
        gaps = X - center
        if missing:
            gaps[np.isnan(X)] = 0
        squared[:, j] = np.einsum("ij,ij->i", gaps, gaps)


def nearest(X, centers, missing, labels, squared, n_threads):
    """Write each row's nearest centre (the lowest index on ties) and the squared distance to it."""
    if not len(X) == len(labels) == len(squared):
        raise ValueError("X, labels and squared must agree in length.")
    distances = np.empty((len(X), len(centers)), dtype=X.dtype)
    all_distances(X, centers, missing, distances, n_threads)
    labels[:] = distances.argmin(axis=1)
    squared[:] = distances.min(axis=1)


def own_distances(X, centers, labels, missing, squared, n_threads):
    """Write each row's squared distance to the centre that its label names."""
    if not len(X) == len(labels) == len(squared) or np.any((labels < 0) | (labels >= len(centers))):
        raise ValueError("X, labels and squared must agree in length, and labels must name centers.")
    gaps = X - centers[labels]
    if missing:
        gaps[np.isnan(X)] = 0
    squared[:] = np.einsum("ij,ij->i", gaps, gaps)


def first_bounds(X, centers, missing, slack, labels, upper, lower, n_threads):
    """Nearest centres by a full scan, with bounds on the distances to the own centre and to the others."""
    distances = np.empty((len(X), len(centers)), dtype=X.dtype)
    all_distances(X, centers, missing, distances, n_threads)
    ranked = np.sort(distances, axis=1)
    labels[:] = distances.argmin(axis=1)
    upper[:] = np.sqrt(ranked[:, 0]) * (1 + slack)
    lower[:] = np.sqrt(ranked[:, 1]) * (1 - slack) if len(centers) > 1 else np.inf


def hamerly_pass(X, centers, missing, drift, half, slack, labels, upper, lower, n_threads):
    """Nearest centres after a move: by definition those of a full scan."""
    first_bounds(X, centers, missing, slack, labels, upper, lower, n_threads)


def exponion_pass(X, centers, order, apart, around, drift, half, slack, labels, upper, lower, n_threads):
    """Nearest centres after a move: by definition those of a full scan."""
    first_bounds(X, centers, False, slack, labels, upper, lower, n_threads)


def elkan_pass(
    X, centers, image, images, blur, blurs, fallen, missing, drift, half, slack, labels, upper, lower, floor, n_threads
):
    """Nearest centres after a move: by definition those of a full scan."""
    first_bounds(X, centers, missing, slack, labels, upper, lower, n_threads)
    floor[:] = lower[:, None] + fallen


def group_pass(
    X, centers, members, starts, group_of, fallen, missing, drift, half, slack, labels, upper, lower, floor, n_threads
):
    """Nearest centres after a move: by definition those of a full scan."""
    first_bounds(X, centers, missing, slack, labels, upper, lower, n_threads)
    floor[:] = lower[:, None] + fallen
