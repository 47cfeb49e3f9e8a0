"""Convolutional regressor: images, signals or flat rows in, numbers out."""

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, RegressorMixin, TransformerMixin

from skml._labels import codes_of
from skml._sklearn import StrOptions
from skml.base import fitting
from skml.network.losses import Huber, Squared
from skml.vision.architectures import with_head
from skml.vision.base import BODY_CONSTRAINTS, TRAINING_CONSTRAINTS, BaseConvNet, Task
from skml.vision.targets import numbers_of, scale_of
from skml.vision.validation import HeldOut


class ConvRegressor(ClassNamePrefixFeaturesOutMixin, RegressorMixin, TransformerMixin, BaseConvNet):
    """Convolutional network that predicts numbers from images or signals.

    Convolutions, each with pooling, are followed by linear layers, and trained by gradient descent on mini-batches.

    Parameters
    ----------
    filters : int or sequence of int, default=(16, 32)
        Filters of each convolution, in order.
    kernel_size : int or sequence, default=3
        Of all convolutions, or a sequence with an entry for each: a number, or a pair (height, width). For signals
        numbers mean the length.
    stride : int or sequence, default=1
        The steps of the convolutions; as `kernel_size`.
    padding : {"same", "valid"} or int, default="same"
        Zeros around what a convolution sees. With "same" every size is rounded up, so that nothing is ever left of no
        image; with "valid", pooling leaves out incomplete windows too.
    pool : {"max", "average", "min"}, None or sequence, default="max"
        What follows each convolution; a sequence has an entry for each.
    pool_size : int or sequence, default=2
        Windows of the pooling, and the steps between them; as `kernel_size`.
    hidden_layer_sizes : int or sequence of int, default=()
        Sizes of linear layers between the convolutions and the last layer.
    activation : {"relu", "leaky_relu", "gelu", "tanh", "sigmoid", "identity"}, default="relu"
        After each layer but the last.
    normalization : {"batch"} or None, default=None
        Whether convolutions are followed by batch normalisation. (Its statistics know no weights: with it a row of
        weight 2 is not quite two rows.)
    residual : bool, default=False
        Whether each convolution is a block of two, beside a short cut [1]_; it needs the padding "same".
    dropout : float, default=0.0
        The share of numbers dropped before each linear layer.
    image_shape : int, sequence of int or None, default=None
        What a flat row is: (height, width, channels), always in this order; for signals (length, channels) or the
        length alone. None: square and grey if the number of features is a square, else a signal of one channel.
        Two equal numbers are a signal too, with a warning; but (h, h) beside an X of shape (n, h, h) means grey images.
        Without it any X of three dimensions holds grey images, with a warning if its sizes are rather those of signals.
    data_format : {"channels_last", "channels_first"}, default="channels_last"
        Whether the numbers of X come pixel by pixel or channel by channel.
    architecture : list of layers or None, default=None
        Layers of :mod:`skml.network` instead of those that the parameters above (`image_shape` and `data_format`
        aside) describe; the last linear layer is added to them.
    solver : {"adam", "adamw", "sgd"}, default="adam"
        The optimizer; "sgd" has Nesterov's momentum of 0.9.
    learning_rate_init : float, default=0.001
        The learning rate, before the schedule's factor.
    learning_rate : {"constant", "step", "cosine", "one_cycle"} or callable, default="constant"
        The schedule over all steps, see :func:`skml.network.schedule`; a function of the step and their number gives
        the factor.
    batch_size : int or "auto", default="auto"
        Distinct rows in a step; "auto" is a sixteenth of them, but at least 8 and at most 64. More than there are means
        all.
    max_iter : int, default=20
        Epochs, those of earlier fits with `warm_start` included.
    max_steps : int or None, default=None
        Steps, likewise; whichever ends first.
    weight_decay : float, default=0.0
        What times the weights is added to their gradient; for "adamw" the weights decay on their own.
    augment : {"shift", "flip", "crop"}, callable or None, default=None
        How images are changed before the network is shown them in training: moved by up to an eighth of their sides,
        mirrored half of the times, or windows of at least three quarters of their sides. A function is given the scaled
        batch (b, height, width, channels) and a NumPy generator, and returns finite numbers of that shape.
    loss : {"squared_error", "huber"}, default="squared_error"
        What is minimised, of targets divided by their deviation. "huber" is linear from one deviation on.
    early_stopping : bool, default=False
        Whether to stop when :math:`R^2` on rows set aside, or given as `X_val`, has not improved for
        `n_iter_no_change` epochs, and to keep the best epoch's weights.
    validation_fraction : float, default=0.1
        The share of the distinct rows to set aside.
    n_iter_no_change : int, default=10
        Epochs in a row without an improvement after which to stop; used with `early_stopping`.
    tol : float, default=1e-4
        What counts as an improvement; used with `early_stopping`.
    dtype : {"float32", "float64"} or None, default=None
        What to compute in. None takes float32 for float32 and uint8 data, and float64 for all else.
        A fit that goes on computes in what the last one did.
    random_state : int, RandomState instance or None, default=None
        Draws weights, batches, and rows set aside. Neither the order of the rows nor writing a weight as copies changes
        a draw.
    n_jobs : int or None, default=None
        Threads to use; None means as many as OpenMP may. No result depends on it.
    warm_start : bool, default=False
        Whether `fit` goes on from where the last one stopped, up to `max_iter` epochs and `max_steps` steps in all.
        With a constant learning rate, a fit that was cut off and goes on gives the bits of the uninterrupted one.

    Attributes
    ----------
    history_ : dict of str to list
        Per epoch "loss" (mean over the rows as they were met, of targets divided by their deviation),
        "learning_rate" and, with `early_stopping`, "validation_loss" and "validation_score".
    image_shape_ : (int, int, int)
        Height, width and channels; a signal has a height of 1.
    images_ : Images
        How rows are scaled: ``mean`` and ``deviation`` of each channel, and the ``kind`` of data that was fitted.
    n_iter_ : int
        Epochs begun.
    n_parameters_ : int
        How many numbers the network has learnt.
    n_steps_ : int
        Steps taken.
    pool_ : Pool
        The network, ``pool_.program``, with its ``parameters``, and what runs it.
    training_ : Training
        What `warm_start` and `partial_fit` need to go on.
    n_features_in_ : int
        Numbers in a flat row.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, where X had names that are all strings.
    scale_ : Scale
        ``mean`` and ``deviation`` of the targets; the network predicts standard ones.
    single_ : bool
        Whether y had no second axis.

    See Also
    --------
    ConvClassifier : The same network for classes.
    sklearn.neural_network.MLPRegressor : A network without convolutions.

    Notes
    -----
    **Data.** X is flat, or an array (n, height, width) of grey images, (n, height, width, channels), or for signals
    (with an `image_shape` of them) (n, length, channels); with "channels_first" channels come second. Bytes (uint8)
    are divided by 255. Floats are standardised, channel by channel, with the mean and the deviation of the training
    rows; all other numbers are made floats. A model fitted on uint8 takes floats to be from 0 to 255 too, and warns if
    none is larger than 1 or one is negative; one fitted on floats from 0 to 1 divides uint8 by 255, and warns if none
    is larger than 1; one fitted on other floats takes uint8 to be in their unit, and warns if one is more than twice
    the largest of them.

    **Weights.** Equal rows are merged into their weights, and rows put into an order that their content decides, before
    anything is drawn: weight k equals k copies, and the order of rows does not matter.

    **Divergence.** If the loss or the weights are no longer finite, a ConvergenceWarning says so, and the weights from
    before that epoch are kept.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren and J. Sun (2016). Deep residual learning for image recognition. CVPR.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skml import ConvRegressor
    >>> X = load_digits().images
    >>> y = X[:, :4].mean(axis=(1, 2)) - X[:, 4:].mean(axis=(1, 2))  # how much more ink is in the upper half
    >>> ConvRegressor(random_state=0).fit(X[:1000], y[:1000]).score(X[1000:], y[1000:]) > 0.8
    True
    """

    _parameter_constraints = {
        **BODY_CONSTRAINTS,
        **TRAINING_CONSTRAINTS,
        "loss": [StrOptions({"squared_error", "huber"})],
    }

    def __init__(
        self,
        filters=(16, 32),
        *,
        kernel_size=3,
        stride=1,
        padding="same",
        pool="max",
        pool_size=2,
        hidden_layer_sizes=(),
        activation="relu",
        normalization=None,
        residual=False,
        dropout=0.0,
        image_shape=None,
        data_format="channels_last",
        architecture=None,
        solver="adam",
        learning_rate_init=0.001,
        learning_rate="constant",
        batch_size="auto",
        max_iter=20,
        max_steps=None,
        weight_decay=0.0,
        augment=None,
        loss="squared_error",
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        dtype=None,
        random_state=None,
        n_jobs=None,
        warm_start=False,
    ):
        self.filters = filters
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.pool = pool
        self.pool_size = pool_size
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.normalization = normalization
        self.residual = residual
        self.dropout = dropout
        self.image_shape = image_shape
        self.data_format = data_format
        self.architecture = architecture
        self.solver = solver
        self.learning_rate_init = learning_rate_init
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.max_steps = max_steps
        self.weight_decay = weight_decay
        self.augment = augment
        self.loss = loss
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.dtype = dtype
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.warm_start = warm_start

    # ------------------------------------------------------------------------------------------------ fitting

    @fitting
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n_samples, height, width) or with channels
            Images or signals, see the notes of the class.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Numbers.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight k means the same as k copies of the row, weight 0 that it isn't there.
        X_val : array-like, default=None
            Images to validate each epoch with, of the shape of X's: "validation_loss" and "validation_score" are then
            in ``history_``, and `early_stopping` looks at them instead of setting rows aside.
        y_val : array-like of shape (n_val,) or (n_val, n_targets), default=None
            Their numbers.
        sample_weight_val : array-like of shape (n_val,), default=None
            Weights of the rows to validate with.

        Returns
        -------
        self : ConvRegressor
            Fitted estimator.

        Raises
        ------
        ValueError
            If X, y or what is to validate with is unusable, parameters describe a network that leaves nothing of an
            image (the message shows the table of layers so far), or `warm_start` cannot go on.
        """
        return self._fit(X, y, sample_weight, HeldOut(X_val, y_val, sample_weight_val))

    @fitting
    def partial_fit(self, X, y, sample_weight=None):
        """Train for one epoch over some rows, at the constant `learning_rate_init`.

        Parameters
        ----------
        X : array-like
            As for :meth:`fit`. What floats are scaled by, the first call decides.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Their numbers; what they are scaled by, the first call decides.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        self : ConvRegressor
            Fitted estimator.

        Raises
        ------
        ValueError
            If X or y is unusable, or of another shape than in the first call.
        """
        return self._go_on(X, y, sample_weight)

    def _task(self, y, X, weights, goes_on):
        y, single = numbers_of(y, X, type(self).__name__)
        scale = self.scale_ if goes_on else scale_of(y, weights)
        if goes_on and y.shape[1] != len(scale.mean):
            raise ValueError(f"y has {y.shape[1]} targets, but {type(self).__name__} was fitted on {len(scale.mean)}.")
        scale = scale.with_more(y, weights) if goes_on else scale
        loss = Huber() if self.loss == "huber" else Squared()
        attributes = {"scale_": scale, "single_": single}
        return Task(loss, y.shape[1], scale.apply(y), weights, None, attributes, content=y)

    def _held_out(self, y, X, weights, task):
        y, _ = numbers_of(y, X, type(self).__name__)
        if y.shape[1] != task.n_outputs:
            raise ValueError(f"y_val has {y.shape[1]} targets, and y {task.n_outputs}.")
        return task.attributes["scale_"].apply(y), weights, y

    def _network(self, shape, task):
        return with_head(self._layers(shape), shape, task.n_outputs)

    # ---------------------------------------------------------------------------------------------------- use

    def predict(self, X):
        """Return the predicted numbers.

        Parameters
        ----------
        X : array-like
            As for :meth:`fit`.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_targets), float64
            In the units of y. The network may compute in float32, but of standard targets: what these are times the
            deviation, plus the mean, is float64.
        """
        z = self._outputs(self._checked(X))
        y = self.scale_.undo(z)
        return y[:, 0] if self.single_ else y

    def transform(self, X):
        """Return the features that the last layer is given.

        Parameters
        ----------
        X : array-like
            As for :meth:`fit`.

        Returns
        -------
        features : ndarray of shape (n_samples, n_features_out)
            See :meth:`get_feature_names_out`.
        """
        return self._features(X)

    def saliency(self, X, target=0):
        """Return how a target changes with each number of an image: the gradient at the input.

        Parameters
        ----------
        X : array-like
            As for :meth:`fit`.
        target : int or array-like of shape (n_samples,), default=0
            The number of the target, or one for each row.

        Returns
        -------
        gradients : ndarray of the shape of X
            In units of y per unit of X.

        Raises
        ------
        ValueError
            If there is no such target.
        """
        rows, scale = self._checked(X), self.scale_
        codes = codes_of(target, np.arange(len(scale.mean)), len(rows), "target")
        slopes = np.zeros((len(rows), len(scale.mean)), dtype=self.pool_.program.dtype)
        slopes[np.arange(len(rows)), codes] = scale.unit[codes]
        return self._saliency(rows, slopes, X)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
