"""What displays share: the axes they draw on, given or new, and the refusal of what they cannot draw."""


def take_axes(display, ax, **figure):
    """Give a display its axes, new ones for None, and their figure.

    Parameters
    ----------
    display : object
        It gets ``ax_`` and ``figure_``.
    ax : matplotlib Axes or None
        None makes a figure, for which matplotlib is needed.
    **figure : dict
        For ``matplotlib.pyplot.subplots``; without a grid of its own the layout leaves room for labels.

    Raises
    ------
    ImportError
        If a figure is to be made, and matplotlib isn't installed.
    """
    if ax is not None:
        display.ax_, display.figure_ = ax, ax.figure
        return
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        what = type(display).__name__
        raise ImportError(f"{what} needs matplotlib; install it with: pip install 'skml[plot]'") from error
    if "gridspec_kw" not in figure:
        figure["layout"] = "constrained"
    display.figure_, display.ax_ = plt.subplots(**figure)


def lacking(display, needed, estimator):
    """Return the sentence for an estimator that a display can do nothing with.

    Parameters
    ----------
    display : type
        The class of the display.
    needed : str
        What the estimator lacks.
    estimator : object
        The estimator.

    Returns
    -------
    sentence : str
        For an error.
    """
    what = type(estimator).__name__
    return (
        f"{display.__name__} needs {needed}, which {what} doesn't have. Of a pipeline or a search, give the fitted "
        "model inside."
    )
