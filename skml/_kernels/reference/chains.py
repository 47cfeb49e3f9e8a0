"""Twin of chains.pyx: the layers of a small convolutional network, one after the other, in plain NumPy."""

import math

import numpy as np

from skml._kernels.reference import convolution, pooling


def measure(table, numbers, B, n_threads):
    """Return how many numbers packed weights take, and how many bytes of working space there must be."""
    _check(table, n_threads)
    if B < 1:
        raise ValueError(f"B must be at least 1, got {B}.")
    return numbers.size, 0


def pack(table, numbers, packed):
    """Write weights and biases as the layers read them: here, all numbers as they are."""
    _check(table)
    for row in table[table[:, 0] == 0]:
        (weight, bias), F = row[17:], row[6]
        if not 0 <= weight <= numbers.size - math.prod(_filters(row)) or not -1 <= bias <= numbers.size - F:
            raise ValueError(f"Weights or bias do not lie among {numbers.size} numbers.")
    if packed.shape != numbers.shape:
        raise ValueError("packed is of another size than the table asks for.")
    packed[:] = numbers


def run(table, packed, x, space, y, n_threads):
    """Write what the layers make of each image; it does not depend on the others, nor on threads."""
    _check(table, n_threads)
    if len(x) != len(y) or x.shape[1] != math.prod(table[0, 1:4]) or y.shape[1] != math.prod(table[-1, 4:7]):
        raise ValueError("The rows of x and y, or their columns and the layers, do not agree.")
    for row in table.tolist():
        x = _layer(row, packed, x.reshape(-1, *row[1:4]))
    y[:] = x.reshape(y.shape)


def _layer(row, packed, x):
    """Return what a layer makes of images."""
    kind, activation, weight, bias = row[0], *row[16:]
    y = np.empty((len(x), *row[4:7]), x.dtype)
    kernel, stride, pad, dilation = (tuple(row[i : i + 2]) for i in range(7, 15, 2))
    if kind == 0:
        shape = _filters(row)
        w, b = packed[weight:][: math.prod(shape)].reshape(shape), packed[bias:][: row[6] if bias >= 0 else 0]
        convolution.forward(x, w, b, y, stride, pad, dilation, row[15], activation, 1)
        return y
    if kind == 3:
        pooling.average_pool(x, y, kernel, stride, pad, 1)
    else:
        pooling.max_pool(x, y, np.empty((0, *y.shape[1:]), np.uint8), kernel, stride, pad, 1 if kind == 1 else -1, 1)
    return convolution.ACTIVATIONS[activation](y)


def _filters(row):
    """Return the shape of a layer's filters."""
    return row[7], row[8], row[3] // row[15], row[6]


def _check(table, n_threads=1):
    """Raise unless layers can be as a table says, and follow each other."""
    if table.shape[1:] != (19,) or not len(table) or n_threads < 1:
        raise ValueError("The table must have rows of 19 numbers, and n_threads must be at least 1.")
    kind, C, F, groups, least = table[:, 0], table[:, 3], table[:, 6], table[:, 15], np.ones(15)
    least[10:12] = 0
    if (table[:, 1:16] < least).any() or (table[:, 1:16] > 2**24).any() or np.isin(kind, range(4), invert=True).any():
        raise ValueError("A number of a layer is outside its range.")
    if (C % groups | F % groups | (table[:, 16] < 0) | (table[:, 16] > 5)).any() or (C != F)[kind > 0].any():
        raise ValueError("Channels, groups and activations do not go together.")
    if (table[1:, 1:4].prod(axis=1) != table[:-1, 4:7].prod(axis=1)).any():
        raise ValueError("A layer cannot follow: the one before leaves other numbers.")
