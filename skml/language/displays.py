"""Pictures of language models, in scikit-learn's style: what attention looks at."""

import math
from numbers import Integral

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skml._axes import take_axes

__all__ = ["AttentionDisplay"]

# How blanks and what moves the pen are written beside a picture.
_SIGNS = str.maketrans({" ": "␣", "\n": "\\n", "\t": "\\t", "\r": "\\r"})
_LARGEST_LABELLED = 64  # tokens that have their names along the axes


class AttentionDisplay:
    """How much each token of a document looks at each one before it, by the heads of a block.

    Make one with :meth:`from_estimator`. A row is a token that looks, a column one that is looked at; each row adds up
    to 1, and what comes later is left blank.

    Parameters
    ----------
    weights : ndarray of shape (n_heads, n_tokens, n_tokens)
        What each head looks at; rows add up to 1.
    tokens : list of str or None, default=None
        What the tokens are called; None leaves their numbers.
    layer : int or None, default=None
        What the title says: the number of the block.

    Attributes
    ----------
    images_ : list of matplotlib AxesImage
        The matrices.
    axes_ : ndarray of matplotlib Axes
        Where they are drawn.
    figure_ : matplotlib Figure
        What holds the axes.

    See Also
    --------
    TransformerLanguageModel.attention_weights : The numbers.

    Examples
    --------
    >>> from skml import TransformerLanguageModel
    >>> from skml.language import AttentionDisplay
    >>> model = TransformerLanguageModel(max_iter=5, random_state=0).fit(["abababab", "babababa"] * 8)
    >>> display = AttentionDisplay.from_estimator(model, "ab", layer=0, head=1)
    >>> display.tokens, display.weights.shape
    (['<end>', 'a', 'b'], (2, 3, 3))
    >>> display.axes_[0].get_title()
    'layer 0, head 1'
    """

    def __init__(self, weights, *, tokens=None, layer=None):
        self.weights = weights
        self.tokens = tokens
        self.layer = layer

    @classmethod
    def from_estimator(cls, estimator, text, *, layer=-1, head=None, ax=None, **kwargs):
        """Draw what the heads of a block look at when they read a document.

        Parameters
        ----------
        estimator : TransformerLanguageModel
            Fitted.
        text : str or array-like of shape (n_columns,)
            The document; of one that is longer than the context, the last window is drawn.
        layer : int, default=-1
            The block, from the end if negative.
        head : int, "mean" or None, default=None
            Which head to draw, or the mean of all; None draws each in a panel.
        ax : matplotlib Axes, list of them, or None, default=None
            Where to draw, one for each matrix; None makes a figure.
        **kwargs : dict
            For ``matplotlib.axes.Axes.imshow``.

        Returns
        -------
        display : AttentionDisplay
            The picture.

        Raises
        ------
        TypeError
            If the estimator has no attention, or the text is no single document.
        ValueError
            If there is no such block, or as :meth:`plot` does.
        """
        check_is_fitted(estimator)
        if not hasattr(estimator, "attention_weights"):
            raise TypeError(f"{cls.__name__} needs attention, which {type(estimator).__name__} does not have.")
        weights = estimator.attention_weights(_as_documents(estimator.coder_, text), layer)[0]
        tokens = _names(estimator, text)[-weights.shape[-1] :]
        layer = layer % len(estimator.reader_.program.network.blocks)
        return cls(weights, tokens=tokens, layer=layer).plot(ax, head=head, **kwargs)

    def plot(self, ax=None, *, head=None, **kwargs):
        """Draw the matrices.

        Parameters
        ----------
        ax : matplotlib Axes, list of them, or None, default=None
            Where to draw, one for each matrix; None makes a figure.
        head : int, "mean" or None, default=None
            Which head to draw, or the mean of all; None draws each in a panel.
        **kwargs : dict
            For ``matplotlib.axes.Axes.imshow``.

        Returns
        -------
        display : AttentionDisplay
            The picture.

        Raises
        ------
        ValueError
            If there is no such head, or the number of axes is another than that of matrices.
        """
        panels = _panels(np.asarray(self.weights, dtype=float), head)
        self._take_panels(ax, len(panels))
        self.images_ = [self._draw(*given, kwargs) for given in zip(self.axes_, panels, panels.values())]
        return self

    def _take_panels(self, ax, n_panels):
        """Take the axes that are given, or make a square of them."""
        if ax is None:
            n_columns = math.ceil(math.sqrt(n_panels))
            n_rows = -(-n_panels // n_columns)
            size = {"figsize": (1 + 3.6 * n_columns, 0.6 + 3.6 * n_rows), "squeeze": False}
            take_axes(self, None, nrows=n_rows, ncols=n_columns, **size)
            every = np.ravel(self.ax_)
            del self.ax_
            for spare in every[n_panels:]:
                spare.set_axis_off()
            self.axes_ = every[:n_panels]
            return
        self.axes_ = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
        if len(self.axes_) != n_panels:
            raise ValueError(f"There are {n_panels} matrices to draw, and {len(self.axes_)} axes for them.")
        self.figure_ = self.axes_[0].figure

    def _draw(self, axis, title, weights, style):
        n = len(weights)
        seen = np.where(np.tri(n, dtype=bool), weights, np.nan)
        image = axis.imshow(seen, **({"cmap": "Blues", "vmin": 0, "vmax": 1, "interpolation": "nearest"} | style))
        place = "" if self.layer is None else f"layer {self.layer}, "
        axis.set(title=place + title, xlabel="looked at", ylabel="looks")
        if self.tokens is not None and n <= _LARGEST_LABELLED:
            names = [token.translate(_SIGNS) for token in self.tokens]
            axis.set_xticks(range(n), names, rotation=90, parse_math=False)
            axis.set_yticks(range(n), names, parse_math=False)
        return image


def _panels(weights, head):
    """Return {title: matrix} of what is asked for."""
    n = len(weights)
    if head is None:
        return {f"head {i}": one for i, one in enumerate(weights)}
    if isinstance(head, str) and head == "mean":
        return {"mean of heads": weights.mean(axis=0)}
    if not isinstance(head, Integral) or isinstance(head, bool) or not -n <= head < n:
        raise ValueError(f"head={head!r} is none of 0 to {n - 1}, 'mean' or None.")
    return {f"head {head % n}": weights[head]}


def _as_documents(coder, text):
    """Return the X whose only row is a document."""
    if coder.kind != "texts":
        return np.asarray(text).reshape(1, -1)
    if not isinstance(text, str):
        raise TypeError(f"text must be a string, got {type(text).__name__}.")
    return [text]


def _names(estimator, text):
    """Return what the tokens of a document are called, that which begins it included."""
    coder, vocabulary = estimator.coder_, estimator.vocabulary_
    ids = estimator._read(_as_documents(coder, text))[1][0]
    if coder.kind != "texts":
        spelled = [str(vocabulary[i]) for i in ids]
    else:
        spelled = [coder.decode([i]) or vocabulary[i] for i in ids.tolist()]
    return [str(vocabulary[coder.start]), *spelled]
