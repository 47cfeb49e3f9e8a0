"""The linear autoencoder: encode rows in few numbers and decode them again, both by matrices."""

from numbers import Integral, Real

import numpy as np
import scipy.sparse as sp
from sklearn import config_context, get_config
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skml._kernels import blas_threads
from skml._rows import distinct_rows
from skml._sklearn import Interval, StrOptions
from skml.base import (
    FitInterruptedWarning,
    fit_task,
    fitting,
    require_memory,
    run_steps,
    validate_codes,
    validate_weights,
    validate_X,
    warn_caller,
)
from skml.decomposition.alternating import alternating_steps, alternation_done, start_alternation
from skml.decomposition.autoencoding import (
    LinearCode,
    certificate,
    closed_form_steps,
    encode,
    mean_loss,
    squared_errors,
)
from skml.decomposition.gaussian import reconstructed
from skml.decomposition.gradient import (
    Batches,
    Descent,
    descent_done,
    gradient_steps,
    move_centre,
    start_descent,
    total_around,
)
from skml.decomposition.magnitude import has_missing, per_row, weighted_rows
from skml.decomposition.principal import NEEDS_ALS, principal_directions
from skml.decomposition.row_blocks import SMALLEST_SCALE, find_centre
from skml.decomposition.spectral import n_observations

# Deviations whose squares are still ordinary numbers.
LARGEST_SPREAD = {"f": 1e18, "d": 1e153}


def _learns_by_gradient(estimator):
    if estimator.solver == "sgd":
        return True
    raise AttributeError(f"partial_fit needs solver='sgd'; this one has solver={estimator.solver!r}.")


class LinearAutoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, CallbackSupportMixin, BaseEstimator):
    r"""Linear autoencoder: a bottleneck between two matrices.

    Finds an encoder :math:`W` and a decoder :math:`V` that minimise

    .. math:: \frac{\sum_i w_i \|(x_i - \mu) - (x_i - \mu) W V\|^2}{\sum_i w_i} + \alpha (\|W\|^2 + \|V\|^2)

    where :math:`\mu` is the weighted mean. Without penalty the best code spans PCA's subspace; with it, the best
    decoder has the principal directions themselves as singular vectors, each shrunk by
    :math:`\sqrt{1 - \alpha / \lambda_j}`, where :math:`\lambda_j` is the variance along it; directions whose variance
    is below `alpha` are dropped [1]_.

    Parameters
    ----------
    n_components : int or None, default=2
        Numbers in a code, at most min(n_samples, n_features); None takes that minimum, which leaves no bottleneck
        unless there are fewer rows than features.
    solver : {"exact", "als", "sgd"}, default="exact"
        "exact" is the closed form, from a PCA. "als" alternates least squares for codes and decoder, and takes NaN
        as missing, at fit and at transform. "sgd" is mini-batch gradient descent (Adam), which can also
        :meth:`partial_fit`.
    tied : bool, default=False
        Whether the decoder is the transposed encoder. The solutions of "exact" and "als" are so in any case; for
        "sgd" it halves the number of parameters, and a single direction without penalty has norm one.
    alpha : float, default=0.0
        The penalty, in the units of X squared: directions of less variance are dropped.
    learning_rate : float, default=0.02
        Adam's rate at the first update ("sgd"); after t updates it is ``learning_rate / (1 + t / 100)``. It needs no
        adaptation to the units of X.
    batch_size : int or "auto", default="auto"
        Distinct rows in a mini-batch ("sgd"); "auto" is a sixteenth of them, but at least 8 and at most 64.
    max_iter : int, default=100
        At most so many epochs ("sgd") or iterations ("als", which warns if they weren't enough), those of earlier fits
        with `warm_start` included.
    tol : float, default=1e-6
        "als" ends when the loss changes by less than `tol` times itself; "sgd" when for 10 epochs none had a loss below
        (1 - tol) times the best.
    shuffle : bool, default=True
        Whether each epoch draws its own order of the rows ("sgd"); otherwise all take the same, which depends on
        the rows' content alone.
    certify : bool, default=True
        Whether to compute `pca_certificate_` for "als" and "sgd", at the price of a PCA.
    warm_start : bool, default=False
        Whether `fit` goes on from where the last one (same solver and sizes) stopped, up to `max_iter`
        iterations in all. A fit that was cut off and goes on gives the bits of the uninterrupted one.
    random_state : int, RandomState instance or None, default=None
        Draws the first encoder and the batches. Neither the order of the rows nor writing a weight as copies
        changes a draw.

    Attributes
    ----------
    encoder_ : ndarray of shape (n_features, n_components)
        W.
    decoder_ : ndarray of shape (n_components, n_features)
        V.
    mean_ : ndarray of shape (n_features,)
        The centre, whose code is zero.
    n_components_ : int
        Numbers in a code.
    n_iter_ : int
        Iterations or epochs done.
    history_ : dict of str to list
        "loss" of each iteration ("als"; with missing values the first 50 penalise codes more than `alpha` says),
        or of each epoch's batches before their updates ("sgd").
    loss_curve_ : list of float
        ``history_["loss"]``.
    pca_certificate_ : dict or None
        "angle": the largest principal angle, in radians, between the space of the decoder and that of PCA (of which
        directions without variance, or with no more than `alpha`, don't count); "excess_loss": the loss over
        the optimum less one (if the optimum is zero: the loss over the total variance); "optimal_loss". Zero angle
        and excess by construction for "exact". None after a fit with missing values (where no closed form is
        known), after `partial_fit`, with ``certify=False``, and where Ctrl-C cut it off.
    optimizer_state_ : dict
        What `warm_start` and `partial_fit` need to go on.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of features seen during fit, where X has any.

    See Also
    --------
    PCA : The principal directions and variances themselves.

    References
    ----------
    .. [1] D. Kunin, J. M. Bloom, A. Goeva, C. Seed, "Loss landscapes of regularized linear autoencoders", ICML 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from skml import LinearAutoencoder
    >>> X = np.array([[0.0, 0.0], [2.0, 2.0], [4.0, 4.0], [6.0, 6.0]])
    >>> autoencoder = LinearAutoencoder(n_components=1, solver="als", random_state=0).fit(X)
    >>> autoencoder.inverse_transform(autoencoder.transform([[5.0, np.nan]])).round(6)
    array([[5., 5.]])
    """

    _parameter_constraints = {
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "solver": [StrOptions({"exact", "als", "sgd"})],
        "tied": ["boolean"],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "shuffle": ["boolean"],
        "certify": ["boolean"],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components=2,
        *,
        solver="exact",
        tied=False,
        alpha=0.0,
        learning_rate=0.02,
        batch_size="auto",
        max_iter=100,
        tol=1e-6,
        shuffle=True,
        certify=True,
        warm_start=False,
        random_state=None,
    ):
        self.n_components = n_components
        self.solver = solver
        self.tied = tied
        self.alpha = alpha
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.shuffle = shuffle
        self.certify = certify
        self.warm_start = warm_start
        self.random_state = random_state

    # ------------------------------------------------------------------------------------------------ fitting

    @fitting
    def fit(self, X, y=None, sample_weight=None):
        """Learn encoder and decoder.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The data; NaN means missing with ``solver="als"``.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; weight k equals k copies of the row.

        Returns
        -------
        self : LinearAutoencoder
            The fitted estimator.

        Raises
        ------
        ValueError
            If X is empty, infinite, has NaN without ``solver="als"``, has a feature without any value, is too large to
            be squared, or has fewer rows or features than `n_components`.
        """
        # Not searched for NaN before an exact fit: its first pass over the data sees it, in rows of positive weight.
        late = self.solver == "exact" and sample_weight is None
        X = self._validated(X, reset=True, late=late)
        seen = {"X": X, "y": y, "sample_weight": validate_weights(sample_weight, X)}
        X, weights = weighted_rows(X, seen["sample_weight"])
        n_samples = max(X.shape[0], int(n_observations(X, weights)))
        n_components = self._checked_n_components(min(n_samples, X.shape[1]), "min(n_samples, n_features)")
        memory = self._memory(X, n_components) if self.warm_start else None
        n_steps = 1 if self.solver == "exact" else self.max_iter
        with fit_task(self, **seen, max_subtasks=n_steps) as context, blas_threads(1):
            steps = getattr(self, f"_{self.solver}_steps")(X, weights, n_components, memory)
            if steps is not None:
                self._run(context, steps, seen, history=self.history_ if memory else None)
            self.pca_certificate_ = self._certificate(X, weights)
        return self

    @available_if(_learns_by_gradient)
    @fitting
    def partial_fit(self, X, y=None, sample_weight=None):
        """Take one epoch of gradient descent over a batch of rows (``solver="sgd"``).

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The batch, any number of rows.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; weight k equals k copies of the row.

        Returns
        -------
        self : LinearAutoencoder
            The fitted estimator. `mean_` is the weighted mean of all rows seen.

        Raises
        ------
        ValueError
            If X is unusable as for :meth:`fit`, or differs in its features from earlier batches.
        """
        first = not hasattr(self, "encoder_")
        X = self._validated(X, reset=first)
        seen = {"X": X, "y": y, "sample_weight": validate_weights(sample_weight, X)}
        X, weights = weighted_rows(X, seen["sample_weight"])
        n_components = self._checked_n_components(X.shape[1], "n_features")
        memory = None if first else self._memory(X, n_components)
        if not first and memory is None:
            raise ValueError("partial_fit cannot go on: solver, n_components or tied were changed since the last fit.")
        with fit_task(self, **seen, max_subtasks=1) as context, blas_threads(1):
            batches, centre = self._batches(X, weights)
            descent = start_descent(centre, n_components, self.tied, X.dtype, self._seed())
            descent = descent if memory is None else move_centre(Descent(**memory), centre)
            steps = self._descend(descent, batches, centre, max_iter=descent.n_iter + 1)
            self._run(context, steps, seen, history=None if first else self.history_)
            self.pca_certificate_ = None
        return self

    def _run(self, context, steps, seen, history):
        task = "epoch" if self.solver == "sgd" else "iteration"
        run = run_steps(self, context, steps, task=task, attributes=self._attributes, history=history, **seen)
        vars(self).update(self._attributes(run.state, run.history))
        if run.stopped is None and not run.state.memory.get("converged", True):
            message = "LinearAutoencoder(solver='als') did not converge in {} iterations; increase max_iter or tol."
            warn_caller(message.format(run.state.n_iter), ConvergenceWarning)

    def _attributes(self, state, history):
        code = state.code
        return {
            "encoder_": code.encoder,
            "decoder_": code.decoder,
            "mean_": code.mean,
            "n_components_": code.encoder.shape[1],
            "n_iter_": state.n_iter,
            "history_": history,
            "loss_curve_": history["loss"],
            "optimizer_state_": {"solver": self.solver, **state.memory},
        }

    def _validated(self, X, *, reset, late=False):
        checks = {} if reset else {"dtype": [self.encoder_.dtype]}
        with config_context(assume_finite=late or get_config()["assume_finite"]):
            X = validate_X(self, X, reset=reset, accept_sparse=True, allow_nan=True, **checks)
        if not late and has_missing(X) and self.solver != "als":
            raise ValueError(NEEDS_ALS)
        return X

    def _checked_n_components(self, limit, name):
        if self.n_components is None:
            return limit
        if self.n_components > limit:
            raise ValueError(f"n_components={self.n_components} must be at most {name}={limit}.")
        return self.n_components

    def _memory(self, X, n_components):
        """Return where the last fit stopped, or None if there is none that this one could go on from."""
        memory = dict(getattr(self, "optimizer_state_", {}))
        if memory.pop("solver", None) != self.solver or self.encoder_.dtype != X.dtype:
            return None
        same = self.encoder_.shape == (X.shape[1], n_components) and memory.get("tied", self.tied) == self.tied
        return memory if same and memory else None

    def _seed(self):
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _exact_steps(self, X, weights, n_components, memory):
        principal = principal_directions(X, weights, n_components, self._seed())
        _check_spread(np.sqrt(principal[-1]), X)
        return closed_form_steps(principal, float(self.alpha))

    def _als_steps(self, X, weights, n_components, memory):
        weights = np.ones(X.shape[0]) if weights is None else weights
        centre = _checked(find_centre(X, weights), X)
        if has_missing(X):
            require_memory(24 * X.shape[1] * (n_components + 1) ** 2, "Least squares for each feature")
        memory = memory or start_alternation(X, weights, centre, n_components, self._seed())
        if alternation_done(memory, self.max_iter):
            return None
        options = {"alpha": float(self.alpha), "max_iter": self.max_iter, "tol": self.tol}
        return alternating_steps(X, weights / weights.sum(), centre, memory, **options)

    def _sgd_steps(self, X, weights, n_components, memory):
        batches, centre = self._batches(X, weights)
        if memory is None:
            descent = start_descent(centre, n_components, self.tied, X.dtype, self._seed())
        else:
            descent = Descent(**memory)
        return None if descent_done(descent, self.max_iter) else self._descend(descent, batches, centre, self.max_iter)

    def _batches(self, X, weights):
        index, weights = distinct_rows(X if sp.issparse(X) else np.ascontiguousarray(X), weights)
        centre = _checked(find_centre(X, weights, index), X)
        size = min(max(len(index) // 16, 8), 64) if self.batch_size == "auto" else self.batch_size
        return Batches(X, index, weights / weights.mean(), size, self.shuffle), centre

    def _descend(self, descent, batches, centre, max_iter):
        options = {"alpha": float(self.alpha), "learning_rate": self.learning_rate, "tol": self.tol}
        return gradient_steps(descent, batches, total_around(descent, centre), max_iter=max_iter, **options)

    def _certificate(self, X, weights):
        if self.solver == "exact":
            return {"angle": 0.0, "excess_loss": 0.0, "optimal_loss": self.history_["loss"][-1]}
        if not self.certify or has_missing(X):
            return None
        try:
            principal = principal_directions(X, weights, self.n_components_, self._seed())
            weights = np.ones(X.shape[0]) if weights is None else weights
            loss = mean_loss(X, weights, self._code(), float(self.alpha))
        except KeyboardInterrupt:  # the model itself is finished
            message = "LinearAutoencoder.fit was interrupted; the model is kept, without a pca_certificate_."
            warn_caller(message, FitInterruptedWarning)
            return None
        return certificate(self._code(), loss, principal, float(self.alpha))

    def _code(self):
        return LinearCode(self.encoder_, self.decoder_, self.mean_)

    # ------------------------------------------------------------------------------------------------ use

    def transform(self, X):
        """Encode rows.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The rows; NaN means missing with ``solver="als"``. An incomplete row has the code of the row that the model
            completes by its own reconstruction: without penalty, the least-squares code of the observed values.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
            The codes, in the dtype of the data of `fit`; zero for a row without any value.
        """
        check_is_fitted(self)
        return encode(self._validated(X, reset=False), self._code())

    def inverse_transform(self, X):
        """Decode codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Codes.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            The rows that they stand for.
        """
        check_is_fitted(self)
        Z = validate_codes(X, self.n_components_, self.decoder_.dtype)
        return reconstructed(Z, self.mean_, self.decoder_)

    def reconstruction_error(self, X):
        """Return how badly each row is reconstructed.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The rows; NaN means missing with ``solver="als"``.

        Returns
        -------
        errors : ndarray of shape (n_samples,)
            The squared distance between the row and its reconstruction; over its observed values, if it has any.
        """
        check_is_fitted(self)
        errors = squared_errors(self._validated(X, reset=False), self._code())
        return per_row(errors, self.encoder_.dtype, "squared error")

    def score(self, X, y=None, sample_weight=None):
        """Return the negative mean squared reconstruction error.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The rows.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights of the rows.

        Returns
        -------
        score : float
            Minus the weighted mean of the squared errors over all observed entries. At most 0, and 0 is best.
        """
        check_is_fitted(self)
        X = self._validated(X, reset=False)
        errors = per_row(squared_errors(X, self._code()), np.float64, "squared error")
        weights = validate_weights(sample_weight, errors)
        weights = np.ones(len(errors)) if weights is None else weights
        seen = np.full(len(errors), self.n_features_in_)
        if has_missing(X):
            seen = np.count_nonzero(~np.isnan(X), axis=1)
        with blas_threads(1):
            total = weights @ seen
            return -float(weights @ errors / total) if total > 0 else 0.0

    @property
    def _n_features_out(self):
        return self.n_components_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = self.solver == "als"
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _checked(centre, X):
    """Raise a ValueError unless the centre and the spread are numbers that can be worked with."""
    if np.isnan(centre.mean).any():
        column = int(np.argmax(np.isnan(centre.mean)))
        raise ValueError(f"X has no value in column {column}; drop columns where all rows of positive weight are NaN.")
    _check_spread(np.sqrt(centre.total) * centre.scale, X)
    return centre


def _check_spread(spread, X):
    if not spread <= LARGEST_SPREAD[X.dtype.char]:
        raise ValueError(f"X has values too large to be squared as {X.dtype}; divide X by a constant.")
    if 0 < spread < SMALLEST_SCALE[X.dtype.char]:
        raise ValueError(f"X varies too little to be squared as {X.dtype}; multiply X by a constant.")
