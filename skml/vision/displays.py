"""Pictures of convolutional networks: their filters, what these see in an image, and how training went."""

import numpy as np
from sklearn.utils.validation import check_is_fitted


class FilterDisplay:
    """The filters of a convolution, as small images.

    Make one with :meth:`from_estimator`.

    Parameters
    ----------
    filters : ndarray of shape (height, width, n_channels, n_filters)
        The filters.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        One for each filter, and empty ones to fill the grid.
    figure_ : matplotlib Figure
        What holds the axes.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skml.vision import ConvClassifier, FilterDisplay
    >>> classifier = ConvClassifier(max_iter=1).fit(*load_digits(return_X_y=True))
    >>> FilterDisplay.from_estimator(classifier).axes_.shape
    (4, 4)
    """

    def __init__(self, filters):
        self.filters = filters

    @classmethod
    def from_estimator(cls, estimator, *, layer=0, **kwargs):
        """Draw the filters of a fitted estimator.

        Parameters
        ----------
        estimator : ConvClassifier, ConvRegressor or ConvAutoencoder
            Fitted.
        layer : int or str, default=0
            Of a convolution, as ``estimator.summary()`` names it.
        **kwargs : dict
            For ``matplotlib.axes.Axes.imshow``.

        Returns
        -------
        display : FilterDisplay
            The picture.

        Raises
        ------
        ValueError
            If that layer has no filters.
        """
        check_is_fitted(estimator)
        weights = estimator.pool_.program.parameters
        name = f"{layer}.weight"
        if name not in weights.shapes or weights[name].ndim != 4:
            raise ValueError(f"layer={layer!r} has no filters:\n{estimator.summary()}")
        return cls(weights[name].copy()).plot(**kwargs)

    def plot(self, **kwargs):
        """Draw the filters; of three channels in colours, of others but one their mean over the channels.

        Parameters
        ----------
        **kwargs : dict
            For ``matplotlib.axes.Axes.imshow``.

        Returns
        -------
        display : FilterDisplay
            The picture.
        """
        low, high = self.filters.min(), self.filters.max()
        shown = (self.filters - low) / (high - low if high > low else 1)
        shown = shown if shown.shape[2] == 3 else shown.mean(axis=2, keepdims=True)
        self.figure_, self.axes_ = _grid(np.moveaxis(shown, -1, 0), kwargs)
        return self


class FeatureMapDisplay:
    """What the filters of a layer see in an image.

    Make one with :meth:`from_estimator`.

    Parameters
    ----------
    maps : ndarray of shape (height, width, n_filters)
        What the layer makes of the image.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        One for each filter, and empty ones to fill the grid.
    figure_ : matplotlib Figure
        What holds the axes.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skml.vision import ConvClassifier, FeatureMapDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> classifier = ConvClassifier(max_iter=1).fit(X, y)
    >>> FeatureMapDisplay.from_estimator(classifier, X[0], layer=2).maps.shape
    (4, 4, 32)
    """

    def __init__(self, maps):
        self.maps = maps

    @classmethod
    def from_estimator(cls, estimator, X, *, layer=0, **kwargs):
        """Draw what a layer of a fitted estimator makes of an image.

        Parameters
        ----------
        estimator : ConvClassifier, ConvRegressor or ConvAutoencoder
            Fitted.
        X : array-like of shape (n_features,), (height, width) or (height, width, channels)
            One image.
        layer : int or str, default=0
            The layer, as ``estimator.summary()`` names it.
        **kwargs : dict
            For ``matplotlib.axes.Axes.imshow``.

        Returns
        -------
        display : FeatureMapDisplay
            The picture.

        Raises
        ------
        ValueError
            If that layer makes no maps.
        """
        maps = estimator.feature_maps(np.asarray(X)[None], layer)[0]
        if maps.ndim != 3:
            raise ValueError(f"layer={layer!r} makes no maps:\n{estimator.summary()}")
        return cls(maps).plot(**kwargs)

    def plot(self, **kwargs):
        """Draw the maps.

        Parameters
        ----------
        **kwargs : dict
            For ``matplotlib.axes.Axes.imshow``.

        Returns
        -------
        display : FeatureMapDisplay
            The picture.
        """
        self.figure_, self.axes_ = _grid(np.moveaxis(self.maps, -1, 0)[..., None], kwargs)
        return self


class HistoryDisplay:
    """The losses and scores of a training, epoch by epoch.

    Make one with :meth:`from_estimator`.

    Parameters
    ----------
    history : dict of str to list
        "loss" and, if rows were set aside, "validation_loss" and "validation_score".

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the losses are drawn.
    score_ax_ : matplotlib Axes or None
        Where the score is, which has an axis of its own on the right.
    figure_ : matplotlib Figure
        What holds the axes.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skml.vision import ConvClassifier, HistoryDisplay
    >>> classifier = ConvClassifier(max_iter=2).fit(*load_digits(return_X_y=True))
    >>> HistoryDisplay.from_estimator(classifier).ax_.get_xlabel()
    'epoch'
    """

    def __init__(self, history):
        self.history = history

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, **kwargs):
        """Draw the history of a fitted estimator.

        Parameters
        ----------
        estimator : ConvClassifier, ConvRegressor or ConvAutoencoder
            Fitted.
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            For ``matplotlib.axes.Axes.plot``.

        Returns
        -------
        display : HistoryDisplay
            The picture.
        """
        check_is_fitted(estimator)
        return cls(estimator.history_).plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw the history.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            For ``matplotlib.axes.Axes.plot``.

        Returns
        -------
        display : HistoryDisplay
            The picture.
        """
        import matplotlib.pyplot as plt

        self.ax_ = plt.subplots()[1] if ax is None else ax
        self.figure_, self.score_ax_ = self.ax_.figure, None
        for name in ("loss", "validation_loss"):
            self._line(self.ax_, name, kwargs)
        self.ax_.set(xlabel="epoch", ylabel="loss")
        if "validation_score" in self.history:
            self.score_ax_ = self.ax_.twinx()
            self._line(self.score_ax_, "validation_score", {"color": "C2", **kwargs})
            self.score_ax_.set_ylabel("validation score")
        self.ax_.legend()
        return self

    def _line(self, ax, name, kwargs):
        values = self.history.get(name, [])
        if values:
            ax.plot(np.arange(len(values)) + 1, values, **{"label": name.replace("_", " "), **kwargs})


def _grid(images, kwargs):
    """Draw images (n, height, width, channels) side by side, and return the figure and its axes."""
    import matplotlib.pyplot as plt

    n = len(images)
    columns = int(np.ceil(np.sqrt(n)))
    rows = -(-n // columns)
    figure, axes = plt.subplots(rows, columns, squeeze=False, figsize=(columns, rows))
    for ax in axes.ravel():
        ax.set_axis_off()
    for ax, image in zip(axes.ravel(), images):
        ax.imshow(image if image.shape[-1] == 3 else image[..., 0], **{"cmap": "gray", **kwargs})
    return figure, axes
