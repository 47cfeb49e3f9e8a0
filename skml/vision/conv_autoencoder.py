"""The convolutional autoencoder: images in a few numbers, and back."""

import math
from numbers import Integral, Real

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from skml import _kernels
from skml._sklearn import Interval, InvalidParameterError, StrOptions
from skml.base import chunk_slices, fitting, validate_codes, validate_weights
from skml.network.composition import Sequential
from skml.network.losses import Squared
from skml.vision.architectures import Body, body_layers, with_head
from skml.vision.base import BODY_CONSTRAINTS, TRAINING_CONSTRAINTS, BaseConvNet, Task
from skml.vision.decoding import Codes, decoder_layers
from skml.vision.running import Pool
from skml.vision.validation import HeldOut


class ConvAutoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseConvNet):
    r"""Convolutional autoencoder: encode images in few numbers and decode them again.

    Finds an encoder :math:`f`, which makes images smaller by convolutions with a stride (or by pooling) and ends with
    `n_components` numbers, and a decoder :math:`g` back to the size of the image, that minimise

    .. math:: \frac{1}{P} \frac{\sum_i w_i \|x_i - g(f(x_i + \varepsilon))\|^2}{\sum_i w_i}

    over the :math:`P` scaled numbers of an image, where :math:`\varepsilon` is Gaussian noise of the deviation
    `denoise` [1]_. Images may be of any size; a signal is an image of height 1.

    Parameters
    ----------
    n_components : int, default=32
        Numbers in a code.
    filters : int or sequence of int, default=(16, 32)
        Of each convolution of the encoder. The decoder has as many, in reverse, and one more, which makes the channels
        of the image.
    kernel_size : int or sequence, default=3
        Of all convolutions, or a sequence with an entry for each: a number, or a pair (height, width). For signals
        numbers mean the length.
    stride : int or sequence, default=2
        The steps of the encoder's convolutions; as `kernel_size`.
    padding : {"same", "valid"} or int, default="same"
        Of the encoder's convolutions; the decoder's have "same".
    pool : {"max", "average", "min"}, sequence of such, or None, default=None
        What follows each convolution of the encoder. A largest number forgets where it was found: with "max" images
        come back less sharp than with a stride.
    pool_size : int or sequence, default=2
        Windows of the pooling, and the steps between them; as `kernel_size`.
    hidden_layer_sizes : int or sequence of int, default=()
        Sizes of linear layers between the convolutions and the code, on either side.
    activation : {"relu", "leaky_relu", "gelu", "tanh", "sigmoid", "identity"}, default="relu"
        After every layer but those that end encoder and decoder, and the decoder's that makes images of codes.
    normalization : {"batch"} or None, default=None
        Whether convolutions are followed by batch normalisation. (Its statistics know no weights: with it a row of
        weight 2 is not quite two rows.)
    upsampling : {"nearest", "bilinear"}, default="nearest"
        How the decoder makes images larger. A convolution follows, so that no checkerboard shows [2]_.
    denoise : float, default=0.0
        Deviation of the noise in what the encoder is shown while training, against which it learns to give the clean
        image: in deviations of a channel, for uint8 images in units of the whole range.
    image_shape : int, sequence of int or None, default=None
        What a flat row is: (height, width, channels), always in this order; for signals (length, channels) or the
        length alone. None: square and grey if the number of features is a square, else a signal of one channel.
        Two equal numbers are a signal too, with a warning; but (h, h) beside an X of shape (n, h, h) means grey images.
        Without it any X of three dimensions holds grey images, with a warning if its sizes are rather those of signals.
    data_format : {"channels_last", "channels_first"}, default="channels_last"
        Whether the numbers of X come pixel by pixel or channel by channel.
    solver : {"adam", "adamw", "sgd"}, default="adam"
        The optimizer; "sgd" has Nesterov's momentum of 0.9.
    learning_rate_init : float, default=0.002
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
    early_stopping : bool, default=False
        Whether to stop when the loss of rows set aside, or given as `X_val`, has not improved for
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
        Draws the first weights, the batches, the noise and the rows set aside. Neither the order of the rows nor
        writing a weight as copies changes a draw.
    n_jobs : int or None, default=None
        Threads to use; None means as many as OpenMP may. No result depends on it.
    warm_start : bool, default=False
        Whether `fit` goes on from where the last one stopped, up to `max_iter` epochs and `max_steps` steps in all.
        With a constant learning rate, a fit that was cut off and goes on gives the bits of the uninterrupted one.

    Attributes
    ----------
    history_ : dict of str to list
        "loss" (of the scaled numbers) and "learning_rate" of each epoch; with `early_stopping` "validation_loss" and
        "validation_score", its negative.
    image_shape_ : tuple of int
        Height, width and channels of an image.
    images_ : Images
        How rows become what the network is shown.
    n_components_ : int
        Numbers in a code.
    n_encoder_layers_ : int
        How many of the layers that `summary` lists make the code.
    n_iter_ : int
        Epochs begun.
    n_parameters_ : int
        Numbers that are learnt.
    n_steps_ : int
        Updates done.
    pool_ : Pool
        The network.
    training_ : Training
        What `warm_start` and `partial_fit` need to go on.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of features seen during fit, where X has any.

    See Also
    --------
    LinearAutoencoder : Without convolutions and activations, in closed form.
    ConvClassifier : The same body for classes.

    References
    ----------
    .. [1] P. Vincent, H. Larochelle, Y. Bengio, P.-A. Manzagol, "Extracting and composing robust features with
       denoising autoencoders", ICML 2008.
    .. [2] A. Odena, V. Dumoulin, C. Olah, "Deconvolution and checkerboard artifacts", Distill 2016.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skml import ConvAutoencoder
    >>> X, _ = load_digits(return_X_y=True)
    >>> autoencoder = ConvAutoencoder(n_components=10, random_state=0).fit(X)
    >>> codes = autoencoder.transform(X)
    >>> codes.shape, autoencoder.inverse_transform(codes).shape
    ((1797, 10), (1797, 64))
    """

    _parameter_constraints = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        **{
            name: constraint
            for name, constraint in {**BODY_CONSTRAINTS, **TRAINING_CONSTRAINTS}.items()
            if name not in ("residual", "dropout", "architecture", "augment")
        },
        "upsampling": [StrOptions({"nearest", "bilinear"})],
        "denoise": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        n_components=32,
        *,
        filters=(16, 32),
        kernel_size=3,
        stride=2,
        padding="same",
        pool=None,
        pool_size=2,
        hidden_layer_sizes=(),
        activation="relu",
        normalization=None,
        upsampling="nearest",
        denoise=0.0,
        image_shape=None,
        data_format="channels_last",
        solver="adam",
        learning_rate_init=0.002,
        learning_rate="constant",
        batch_size="auto",
        max_iter=20,
        max_steps=None,
        weight_decay=0.0,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        dtype=None,
        random_state=None,
        n_jobs=None,
        warm_start=False,
    ):
        self.n_components = n_components
        self.filters = filters
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.pool = pool
        self.pool_size = pool_size
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.normalization = normalization
        self.upsampling = upsampling
        self.denoise = denoise
        self.image_shape = image_shape
        self.data_format = data_format
        self.solver = solver
        self.learning_rate_init = learning_rate_init
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.max_steps = max_steps
        self.weight_decay = weight_decay
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
    def fit(self, X, y=None, sample_weight=None, *, X_val=None, sample_weight_val=None):
        """Learn encoder and decoder.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n_samples, height, width) or with channels
            Images; uint8 or floats. Signals are (n_samples, length, channels), with `image_shape`.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; weight k equals k copies of the image.
        X_val : array-like, default=None
            Images to validate each epoch with, of the shape of X's: "validation_loss" and "validation_score" are then
            in ``history_``, and `early_stopping` looks at them instead of setting rows aside.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights.

        Returns
        -------
        self : ConvAutoencoder
            The fitted estimator.

        Raises
        ------
        ValueError
            If X or X_val is empty or not finite, no images of `image_shape`, or a convolution leaves nothing of them.
        """
        return self._fit(X, y, sample_weight, HeldOut(X_val, None, sample_weight_val))

    @fitting
    def partial_fit(self, X, y=None, sample_weight=None):
        """Train for one epoch over some images, at the rate `learning_rate_init`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or images as for :meth:`fit`
            Any number of images. The first call decides how numbers are scaled.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; weight k equals k copies of the image.

        Returns
        -------
        self : ConvAutoencoder
            The fitted estimator.

        Raises
        ------
        ValueError
            If X is unusable as for :meth:`fit`, or differs from earlier images in its shape.
        """
        return self._go_on(X, y, sample_weight)

    def _body(self):
        names = ("filters", "kernel_size", "stride", "padding", "pool", "pool_size", "hidden_layer_sizes")
        of = {name: getattr(self, name) for name in (*names, "activation", "normalization")}
        return Body(**of)

    def _layers(self, shape):
        return body_layers(self._body(), shape)

    def _task(self, y, X, weights, goes_on):
        return Task(Squared(), self.n_components, weights=weights, attributes={"n_components_": self.n_components})

    def _network(self, shape, task):
        if not np.size(self.filters):
            raise InvalidParameterError(f"filters must hold a size for at least one convolution, got {self.filters!r}.")
        body = self._layers(shape)
        encoder = with_head(body, shape, task.n_outputs)
        hidden = np.atleast_1d(self.hidden_layer_sizes).astype(int).tolist()
        network = Sequential([*encoder.layers, *decoder_layers(body, shape, hidden, self.upsampling)])
        task.attributes["n_encoder_layers_"] = len(encoder.layers)
        return network

    def _augmentation(self):
        level = float(self.denoise)
        return (lambda x, generator: _noisy(x, generator, level)) if level else None

    # ---------------------------------------------------------------------------------------------------- use

    def transform(self, X):
        """Encode images.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or images as for :meth:`fit`
            The images.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
            The codes, in the dtype of the network.
        """
        X = self._checked(X)
        return self._head(self.n_encoder_layers_).outputs(X, self.images_, self._threads())

    def inverse_transform(self, X):
        """Decode codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Codes.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            The images that they stand for, flat, in the units and the order of the images of `fit`. For uint8 images
            these are floats, about 0 to 255.
        """
        check_is_fitted(self)
        program = self.pool_.program
        Z = validate_codes(X, self.n_components_, program.dtype)
        decoder = Pool(program.part(self.n_encoder_layers_, len(program.network.layers)))
        with np.errstate(over="ignore", invalid="ignore"):
            outputs = decoder.outputs(Z, Codes(), self._threads())
        return _unscaled(outputs, self.images_)

    def reconstruction_error(self, X):
        """Return how badly each image is reconstructed.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or images as for :meth:`fit`
            The images.

        Returns
        -------
        errors : ndarray of shape (n_samples,), float64
            The squared distance between an image and what its code is decoded to.
        """
        return self._errors(self._checked(X))

    def score(self, X, y=None, sample_weight=None):
        """Return the negative mean squared reconstruction error.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or images as for :meth:`fit`
            The images.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights of the images.

        Returns
        -------
        score : float
            Minus the weighted mean of the squared errors over all numbers, in the units of the images of `fit` squared.
            At most 0, and 0 is best.
        """
        X = self._checked(X)
        weights = validate_weights(sample_weight, X)
        weights = np.ones(len(X)) if weights is None else weights
        with _kernels.blas_threads(1):
            return -float(weights @ self._errors(X) / weights.sum() / self.n_features_in_)

    def _errors(self, X):
        """Return the squared error of each validated row."""
        errors = np.empty(len(X))
        unit = self.images_.unit(X.dtype)
        for rows in chunk_slices(len(X), 32 * self.n_features_in_):
            off = X[rows].astype(np.float64)
            off /= unit
            with np.errstate(over="ignore"):
                off -= _unscaled(self._outputs(X[rows]), self.images_)
                errors[rows] = np.minimum(np.einsum("ij,ij->i", off, off), np.finfo(np.float64).max)
        return errors

    @property
    def _n_features_out(self):
        return self.n_components_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _noisy(x, generator, level):
    """Add noise to a batch, in place, and return it."""
    x += generator.standard_normal(x.shape, dtype=x.dtype) * x.dtype.type(level)
    return x


def _unscaled(outputs, images):
    """Return what a network makes, of shape (n, H, W, C), as flat rows in the units of the data; it is cut off at
    the largest number of its type.
    """
    rows = np.empty((len(outputs), math.prod(images.shape)), dtype=outputs.dtype)
    largest = np.finfo(outputs.dtype).max
    for some in chunk_slices(len(outputs), 24 * rows.shape[1]):
        with np.errstate(over="ignore"):
            found = outputs[some] * images.deviation + images.mean
        rows[some] = images.rows(np.clip(found, -largest, largest, out=found))
    return rows
