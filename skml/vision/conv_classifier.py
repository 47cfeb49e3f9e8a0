"""Convolutional classifier: images, signals or flat rows in, classes out."""

from numbers import Real

import numpy as np
from scipy.special import expit, log_expit, log_softmax
from sklearn.base import ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin

from skml._labels import class_weighted, codes_of, labels_of, weights_of_classes
from skml._sklearn import Interval, StrOptions
from skml.base import fitting
from skml.network.activations import softmax_forward
from skml.network.losses import BinaryCrossEntropy, CrossEntropy
from skml.vision.architectures import with_head
from skml.vision.base import BODY_CONSTRAINTS, TRAINING_CONSTRAINTS, BaseConvNet, Task
from skml.vision.validation import HeldOut


class ConvClassifier(ClassNamePrefixFeaturesOutMixin, ClassifierMixin, TransformerMixin, BaseConvNet):
    """Convolutional network that tells classes of images or signals apart.

    Convolutions, each with pooling, are followed by linear layers and a softmax, and trained by gradient descent on
    mini-batches. A row of y may also hold several labels at once.

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
    class_weight : dict, "balanced" or None, default=None
        What the weights of each class's rows are multiplied with; "balanced" lets all classes weigh the same.
    label_smoothing : float, default=0.0
        The share of each target that is spread over all classes; of several labels, over yes and no.
    early_stopping : bool, default=False
        Whether to stop when the accuracy on rows set aside, or given as `X_val`, has not improved for
        `n_iter_no_change` epochs, and to keep the best epoch's weights. The rows weigh as in training, by
        `class_weight` too.
    validation_fraction : float, default=0.1
        The share of the distinct rows, of each class, to set aside.
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
    classes_ : ndarray of shape (n_classes,)
        The labels of rows of positive weight; if several may hold at once, their numbers.
    history_ : dict of str to list
        Per epoch "loss" (mean over the rows as they were met), "learning_rate" and, with `early_stopping`,
        "validation_loss" and "validation_score".
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
    multilabel_ : bool
        Whether several labels may hold at once.

    See Also
    --------
    ConvRegressor : The same network for numbers.
    sklearn.neural_network.MLPClassifier : A network without convolutions.

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
    >>> from skml import ConvClassifier
    >>> X, y = load_digits(return_X_y=True)  # 8 x 8 pixels in a row
    >>> classifier = ConvClassifier(random_state=0).fit(X[:1000], y[:1000])
    >>> classifier.image_shape_, classifier.score(X[1000:], y[1000:]) > 0.9
    ((8, 8, 1), True)
    """

    _parameter_constraints = {
        **BODY_CONSTRAINTS,
        **TRAINING_CONSTRAINTS,
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
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
        class_weight=None,
        label_smoothing=0.0,
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
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
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
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Classes: numbers, strings or booleans; or 0 and 1 for each of several labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight k means the same as k copies of the row, weight 0 that it isn't there.
        X_val : array-like, default=None
            Images to validate each epoch with, of the shape of X's: "validation_loss" and "validation_score" are then
            in ``history_``, and `early_stopping` looks at them instead of setting rows aside.
        y_val : array-like of shape (n_val,) or (n_val, n_labels), default=None
            Their classes, none but those of y.
        sample_weight_val : array-like of shape (n_val,), default=None
            Weights of the rows to validate with.

        Returns
        -------
        self : ConvClassifier
            Fitted estimator.

        Raises
        ------
        ValueError
            If X or X_val is unusable, y has one class, y_val has others, parameters describe a network that leaves
            nothing of an image (the message shows the table of layers so far), or `warm_start` cannot go on.
        """
        return self._fit(X, y, sample_weight, HeldOut(X_val, y_val, sample_weight_val))

    @fitting
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Train for one epoch over some rows, at the constant `learning_rate_init`.

        Parameters
        ----------
        X : array-like
            As for :meth:`fit`. What floats are scaled by, the first call decides.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Their classes.
        classes : array-like of shape (n_classes,), default=None
            All classes that there will be; needed in the first call, unless y has several labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        self : ConvClassifier
            Fitted estimator.

        Raises
        ------
        ValueError
            If X or y is unusable, or `classes` are missing in the first call or other than in it.
        """
        if self.class_weight == "balanced":
            raise ValueError("class_weight='balanced' needs all rows at once: partial_fit takes weights of classes.")
        return self._go_on(X, y, sample_weight, classes=classes, needs_classes=not hasattr(self, "classes_"))

    def _task(self, y, X, weights, goes_on, classes=None, needs_classes=False):
        known, name = (self.classes_ if goes_on else classes), type(self).__name__
        labels = labels_of(y, X, weights, name, known)
        if needs_classes and classes is None and not labels.multilabel:
            raise ValueError("partial_fit needs classes in its first call: all that there will be.")
        if goes_on and classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"classes={classes} are not those of the first call, {self.classes_.tolist()}.")
        if goes_on and labels.multilabel != self.multilabel_:
            raise ValueError(
                f"{name} cannot go on: y had {'several labels' if self.multilabel_ else 'one class'} a row."
            )
        of_class = weights_of_classes(self.class_weight, labels, weights)
        return Task(
            BinaryCrossEntropy() if labels.multilabel else CrossEntropy(self.label_smoothing),
            len(labels.classes),
            self._targets(labels),
            class_weighted(of_class, labels.y, weights),
            None if labels.multilabel else labels.y,
            {"classes_": labels.classes, "multilabel_": labels.multilabel},
            of_class=of_class,
        )

    def _targets(self, labels):
        """Return targets as the loss takes them: codes, or smoothed yes and no for each label."""
        smoothing = np.float32(self.label_smoothing)
        return labels.y * (1 - smoothing) + smoothing / 2 if labels.multilabel else labels.y

    def _held_out(self, y, X, weights, task):
        labels = labels_of(y, X, weights, type(self).__name__, task.attributes["classes_"])
        if labels.multilabel != task.attributes["multilabel_"]:
            raise ValueError("y and y_val must both have one class a row, or both several labels.")
        return self._targets(labels), class_weighted(task.of_class, labels.y, weights), labels.y

    def _network(self, shape, task):
        return with_head(self._layers(shape), shape, task.n_outputs)

    # ---------------------------------------------------------------------------------------------------- use

    def decision_function(self, X):
        """Return what the network ends with.

        Parameters
        ----------
        X : array-like
            As for :meth:`fit`.

        Returns
        -------
        decision : ndarray of shape (n_samples,) or (n_samples, n_classes)
            The logits; of two classes the second's less the first's.
        """
        z = self._outputs(self._checked(X))
        return z[:, 1] - z[:, 0] if z.shape[1] == 2 and not self.multilabel_ else z

    def predict(self, X):
        """Return the most probable class.

        Parameters
        ----------
        X : array-like
            As for :meth:`fit`.

        Returns
        -------
        labels : ndarray of shape (n_samples,) or (n_samples, n_labels)
            The first of equal ones; of several labels a 1 for each whose probability is above a half.
        """
        z = self._outputs(self._checked(X))
        return (z > 0).astype(np.int64) if self.multilabel_ else self.classes_[z.argmax(axis=1)]

    def predict_proba(self, X):
        """Return probabilities of the classes.

        Parameters
        ----------
        X : array-like
            As for :meth:`fit`.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``.
        """
        z = self._outputs(self._checked(X))
        exact = z.astype(np.float64)  # so that rows of float32 sum to 1 as nearly as they can
        return (expit(exact) if self.multilabel_ else softmax_forward(exact)).astype(z.dtype)

    def predict_log_proba(self, X):
        """Return logarithms of the probabilities of the classes.

        Parameters
        ----------
        X : array-like
            As for :meth:`fit`.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``; finite, however small the probabilities are.
        """
        z = self._outputs(self._checked(X))
        exact = z.astype(np.float64)
        return (log_expit(exact) if self.multilabel_ else log_softmax(exact, axis=1)).astype(z.dtype)

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

    def saliency(self, X, y=None):
        """Return how the logit of a class changes with each number of an image: the gradient at the input.

        Parameters
        ----------
        X : array-like
            As for :meth:`fit`.
        y : label, array-like of shape (n_samples,) or None, default=None
            The class, or one for each row; None takes that of the largest logit.

        Returns
        -------
        gradients : ndarray of the shape of X
            In logits per unit of X.

        Raises
        ------
        ValueError
            If a label is none of ``classes_``.
        """
        rows = self._checked(X)
        z = self._outputs(rows)
        codes = z.argmax(axis=1) if y is None else codes_of(y, self.classes_, len(rows))
        slopes = np.zeros_like(z)
        slopes[np.arange(len(z)), codes] = 1
        return self._saliency(rows, slopes, X)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
