"""Pictures of networks, in scikit-learn's style: what filters look for, and what they find."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skml._axes import lacking, take_axes

__all__ = ["FeatureMapDisplay", "FilterDisplay"]


class FilterDisplay:
    """The filters of a convolution, as images: what each looks for.

    Make one with :meth:`from_estimator`. Filters over one channel are drawn from blue (below zero) through white to
    red, those over three channels in colour (grey is zero). Filters over others have a row each, with an image per
    channel.

    Parameters
    ----------
    filters : ndarray of shape (height, width, n_channels, n_filters)
        The filters.
    layer : int, str or None, default=None
        What the title says: the layer's number or name.

    Attributes
    ----------
    image_ : matplotlib AxesImage
        The filters, side by side.
    ax_ : matplotlib Axes
        Where they are drawn.
    figure_ : matplotlib Figure
        What holds the axes.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.vision import FilterDisplay
    >>> display = FilterDisplay(np.random.default_rng(0).normal(size=(3, 3, 1, 8))).plot(n_columns=4)
    >>> display.image_.get_array().shape
    (7, 15)
    """

    def __init__(self, filters, *, layer=None):
        self.filters = filters
        self.layer = layer

    @classmethod
    def from_estimator(cls, estimator, *, layer=None, channel=None, max_filters=64, n_columns=None, ax=None, **kwargs):
        """Draw filters of a network.

        Parameters
        ----------
        estimator : ConvClassifier, ConvRegressor or ConvAutoencoder
            Fitted.
        layer : int, str or None, default=None
            The number of a convolution, or the name if it lies in a block, as in ``summary()``; None means the first.
        channel : int or None, default=None
            Which channel of the filters to draw; None draws all.
        max_filters : int or None, default=64
            How many filters to draw; None draws all.
        n_columns : int or None, default=None
            Images in a row; None makes a square of them.
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            For ``matplotlib.axes.Axes.imshow``.

        Returns
        -------
        display : FilterDisplay
            The picture.

        Raises
        ------
        TypeError
            If the estimator is no network over images.
        ValueError
            If it has no such convolution, or no such channel.
        """
        check_is_fitted(estimator)
        if not hasattr(estimator, "feature_maps"):
            raise TypeError(lacking(cls, "convolutions", estimator))
        name, filters = _filters(estimator.pool_.program.parameters, layer)
        shown = {"channel": channel, "max_filters": max_filters, "n_columns": n_columns}
        return cls(filters, layer=name).plot(ax, **shown, **kwargs)

    def plot(self, ax=None, *, channel=None, max_filters=64, n_columns=None, **kwargs):
        """Draw the filters.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a figure.
        channel : int or None, default=None
            Which channel of the filters to draw; None draws all.
        max_filters : int or None, default=64
            How many filters to draw; None draws all.
        n_columns : int or None, default=None
            Images in a row; None makes a square of them, or a row per filter if those have several images.
        **kwargs : dict
            For ``matplotlib.axes.Axes.imshow``.

        Returns
        -------
        display : FilterDisplay
            The picture.

        Raises
        ------
        ValueError
            If there is no such channel.
        """
        filters = np.asarray(self.filters, dtype=float)[..., :max_filters]
        KH, KW, C, F = filters.shape
        if channel is not None:
            if not -C <= channel < C:
                raise ValueError(f"channel must be from 0 to {C - 1}, got {channel}.")
            filters, C = filters[:, :, [channel]], 1
        largest = np.abs(filters).max(initial=0) or 1.0
        if C == 3:
            images = filters.transpose(3, 0, 1, 2) / (2 * largest) + 0.5
        else:
            images = filters.transpose(3, 2, 0, 1).reshape(-1, KH, KW)
            n_columns = n_columns or (C if C > 1 else None)
        coloured = {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest} | kwargs
        return _draw(self, ax, images, n_columns, coloured)


class FeatureMapDisplay:
    """What the channels of a layer answer to an image.

    Make one with :meth:`from_estimator`. Of several images each has a row.

    Parameters
    ----------
    maps : ndarray of shape (n_samples, height, width, n_channels)
        The answers.
    layer : int, str or None, default=None
        What the title says: the layer's number or name.

    Attributes
    ----------
    image_ : matplotlib AxesImage
        The answers, side by side.
    ax_ : matplotlib Axes
        Where they are drawn.
    figure_ : matplotlib Figure
        What holds the axes.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.vision import FeatureMapDisplay
    >>> display = FeatureMapDisplay(np.random.default_rng(0).normal(size=(2, 8, 8, 5))).plot()
    >>> display.image_.get_array().shape
    (17, 44)
    """

    def __init__(self, maps, *, layer=None):
        self.maps = maps
        self.layer = layer

    @classmethod
    def from_estimator(cls, estimator, X, *, layer=0, max_maps=32, n_columns=None, ax=None, **kwargs):
        """Draw what a layer answers.

        Parameters
        ----------
        estimator : ConvClassifier, ConvRegressor or ConvAutoencoder
            Fitted.
        X : array-like of shape (n_samples, n_features), or images
            A few images, as the estimator takes them.
        layer : int or str, default=0
            The number of the layer, as in ``summary()``; from the end if negative.
        max_maps : int or None, default=32
            How many channels to draw; None draws all.
        n_columns : int or None, default=None
            Maps in a row; None makes a square of those of one image, and a row of each of several.
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a figure.
        **kwargs : dict
            For ``matplotlib.axes.Axes.imshow``.

        Returns
        -------
        display : FeatureMapDisplay
            The picture.

        Raises
        ------
        TypeError
            If the estimator is no network over images.
        ValueError
            If it has no such layer, or one whose answers are no images.
        """
        check_is_fitted(estimator)
        if not hasattr(estimator, "feature_maps"):
            raise TypeError(lacking(cls, "feature_maps", estimator))
        maps = estimator.feature_maps(X, layer)
        return cls(maps, layer=layer).plot(ax, max_maps=max_maps, n_columns=n_columns, **kwargs)

    def plot(self, ax=None, *, max_maps=32, n_columns=None, **kwargs):
        """Draw the maps.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a figure.
        max_maps : int or None, default=32
            How many channels to draw; None draws all.
        n_columns : int or None, default=None
            Maps in a row; None makes a square of those of one image, and a row of each of several.
        **kwargs : dict
            For ``matplotlib.axes.Axes.imshow``.

        Returns
        -------
        display : FeatureMapDisplay
            The picture.

        Raises
        ------
        ValueError
            If the answers are no images.
        """
        maps = np.asarray(self.maps, dtype=float)
        if maps.ndim != 4:
            raise ValueError(f"{type(self).__name__} draws images (a height, a width, channels), not {maps.shape[1:]}.")
        maps = maps[..., :max_maps]
        n_columns = n_columns or (maps.shape[3] if len(maps) > 1 else None)
        images = maps.transpose(0, 3, 1, 2).reshape(-1, *maps.shape[1:3])
        return _draw(self, ax, images, n_columns, {"cmap": "viridis"} | kwargs)


def mosaic(images, n_columns=None):
    """Return images side by side, a gap of one pixel between them.

    Parameters
    ----------
    images : ndarray of shape (n, height, width) or (n, height, width, 3)
        The images, all of one size.
    n_columns : int or None, default=None
        Images in a row; None makes the whole about as wide as high.

    Returns
    -------
    whole : ndarray of shape (rows * (height + 1) - 1, n_columns * (width + 1) - 1) or (..., 3)
        NaN in the gaps, or white if there are colours.
    """
    n, height, width = images.shape[:3]
    if n_columns is None:
        n_columns = max(1, min(n, round(np.sqrt(n * (height + 1) / (width + 1)))))
    n_rows = -(-n // n_columns)
    gap = np.nan if images.ndim == 3 else 1.0
    whole = np.full((n_rows * (height + 1) - 1, n_columns * (width + 1) - 1, *images.shape[3:]), gap)
    for i, image in enumerate(images):
        top, left = i // n_columns * (height + 1), i % n_columns * (width + 1)
        whole[top : top + height, left : left + width] = image
    return whole


def _draw(display, ax, images, n_columns, style):
    """Draw images side by side on a display's axes, and return it."""
    whole = mosaic(images, n_columns)
    take_axes(display, ax)
    display.image_ = display.ax_.imshow(whole, **({"interpolation": "nearest"} | style))
    display.ax_.set(xticks=[], yticks=[])
    display.ax_.set_frame_on(False)
    if display.layer is not None:
        display.ax_.set_title(f"layer {display.layer}")
    return display


def _filters(parameters, layer):
    """Return the name and the filters of a convolution."""
    names = [name.removesuffix(".weight") for name, array in parameters.items() if array.ndim == 4]
    if not names:
        raise ValueError("The network has no convolutions.")
    name = names[0] if layer is None else str(layer)
    if name not in names:
        raise ValueError(f"layer={layer!r} is no convolution; those are {', '.join(names)}.")
    return name, parameters[f"{name}.weight"]
