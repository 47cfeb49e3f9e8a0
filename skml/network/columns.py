"""Convolution as products of matrices, a chunk of windows at a time (im2col).

The rows of a chunk's matrix are windows, its columns the KH * KW * C numbers that a window sees; it has at most
`CHUNK_BYTES`, so that it is still in the cache when it is multiplied.
"""

import numpy as np
from numpy.lib.stride_tricks import as_strided

CHUNK_BYTES = 2**20


class Columns:
    """Buffers for the windows of a chunk: some samples, or some rows of windows of one.

    Parameters
    ----------
    geometry : Geometry
        Without groups.
    shape : (H, W, C, F)
        Of an image, and the number of filters.
    B : int
        The most images in a batch.
    dtype : dtype
        Of the images.
    """

    def __init__(self, geometry, shape, B, dtype):
        H, W, C, F = shape
        self.geometry, self.size, self.output = geometry, (H, W), geometry.output(H, W)
        KH, KW = geometry.kernel
        OH, OW = self.output
        windows = max(1, CHUNK_BYTES // (np.dtype(dtype).itemsize * KH * KW * C))
        self.samples, self.rows = max(1, min(B, windows // (OH * OW))), max(1, min(OH, windows // OW))
        top, left = geometry.pads(H, W)
        height, width = (max(pad + size, (n - 1) * step + reach) for pad, size, n, step, reach in self._axes())
        self.padded = np.zeros((self.samples, height, width, C), dtype=dtype)
        self.spread = np.empty_like(self.padded)  # its border takes what falls on padding
        self.inside = (slice(None), slice(top, top + H), slice(left, left + W))
        self.windows = self._windows(self.padded)
        self.col = np.empty((self.samples * self.rows * OW, KH * KW * C), dtype=dtype)
        self.dw = np.empty((KH * KW * C, F), dtype=dtype)

    def _axes(self):
        g = self.geometry
        return zip(g.pads(*self.size), self.size, self.output, g.stride, g.reach)

    def _windows(self, padded):
        """Return a view of shape (samples, OH, OW, KH, KW, C) on all windows."""
        g, (sample, row, column, channel) = self.geometry, padded.strides
        shape = (len(padded), *self.output, *g.kernel, padded.shape[-1])
        steps = (row * g.stride[0], column * g.stride[1], row * g.dilation[0], column * g.dilation[1])
        return as_strided(padded, shape, (sample, *steps, channel))

    def _chunks(self, b):
        """Yield (samples, rows of windows, whether the samples are new)."""
        for start in range(0, b, self.samples):
            samples = slice(start, min(b, start + self.samples))
            for row in range(0, self.output[0], self.rows):
                yield samples, slice(row, min(self.output[0], row + self.rows)), row == 0

    def _filled(self, x, samples, rows, new):
        """Return the matrix of a chunk of windows."""
        n = samples.stop - samples.start
        if new:
            self.padded[:n][self.inside] = x[samples]
        seen = self.windows[:n, rows]
        col = self.col[: n * seen.shape[1] * seen.shape[2]]
        np.copyto(col.reshape(seen.shape), seen)
        return col

    def products(self, x, w, y):
        """Write y = x * w, and yield the rows of each chunk as soon as they are there.

        Parameters
        ----------
        x : ndarray of shape (b, H, W, C)
            Images.
        w : ndarray of shape (KH * KW * C, F)
            Filters.
        y : ndarray of shape (b, OH, OW, F)
            Where to write.

        Yields
        ------
        rows : ndarray of shape (n, F)
            A view into y.
        """
        for samples, rows, new in self._chunks(len(x)):
            part = y[samples, rows].reshape(-1, y.shape[-1])
            np.matmul(self._filled(x, samples, rows, new), w, out=part)
            yield part

    def weights(self, x, dy, dw):
        """Write the gradient at the filters; it is summed over chunks in their order.

        Parameters
        ----------
        x : ndarray of shape (b, H, W, C)
            Images.
        dy : ndarray of shape (b, OH, OW, F)
            The gradient at the output.
        dw : ndarray of shape (KH * KW * C, F)
            Where to write.
        """
        dw[...] = 0
        for samples, rows, new in self._chunks(len(x)):
            part = dy[samples, rows].reshape(-1, dy.shape[-1])
            np.matmul(self._filled(x, samples, rows, new).T, part, out=self.dw)
            dw += self.dw

    def data(self, dy, w, dx):
        """Write the gradient at the images.

        Parameters
        ----------
        dy : ndarray of shape (b, OH, OW, F)
            The gradient at the output.
        w : ndarray of shape (KH * KW * C, F)
            Filters.
        dx : ndarray of shape (b, H, W, C)
            Where to write.
        """
        for samples, rows, new in self._chunks(len(dy)):
            n, part = samples.stop - samples.start, dy[samples, rows]
            spread = self.spread[:n]
            if new:
                spread[...] = 0
            col = self.col[: part.size // part.shape[-1]]
            np.matmul(part.reshape(-1, part.shape[-1]), w.T, out=col)
            self._add(col.reshape(*part.shape[:3], *self.geometry.kernel, -1), spread, rows.start)
            if rows.stop == self.output[0]:
                dx[samples] = spread[self.inside]

    def _add(self, col, spread, first):
        """Add the numbers of windows, from row `first` on, to the pixels that they are of."""
        (sh, sw), (dh, dw) = self.geometry.stride, self.geometry.dilation
        OH, OW = col.shape[1:3]
        for i, j in np.ndindex(*self.geometry.kernel):
            top, left = first * sh + i * dh, j * dw
            spread[:, top : top + (OH - 1) * sh + 1 : sh, left : left + (OW - 1) * sw + 1 : sw] += col[:, :, :, i, j]
