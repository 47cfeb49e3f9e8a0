"""Principal component analysis: the estimator."""

from numbers import Integral, Real

import numpy as np
import scipy.sparse as sp
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skml._arrays import fit_in_numpy, use_in_numpy
from skml._sklearn import Interval, RealNotInt, StrOptions
from skml.base import fit_task, fitting, run_steps, validate_codes, validate_weights, validate_X, warn_caller
from skml.decomposition import gaussian, incremental, missing, spectral
from skml.decomposition.dimension import by_evidence, by_explained_variance
from skml.decomposition.magnitude import (
    check_representable,
    direct_axes,
    has_missing,
    per_row,
    scaled_axes,
    weighted_rows,
)
from skml.decomposition.moments import UNWEIGHTED, project

SPARSE_SOLVERS = ("auto", "arpack", "covariance_eigh", "em")
TRUNCATED_SOLVERS = ("arpack", "randomized", "em")


class PCA(CallbackSupportMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Principal component analysis: the orthogonal directions in which data varies most.

    A drop-in for :class:`sklearn.decomposition.PCA` that also takes NaN as missing, sample weights, batches and
    sparse data (centred without becoming dense), and whose randomized solver bounds its error.

    Parameters
    ----------
    n_components : int, float in (0, 1), "mle" or None, default=None
        The number of components to keep; a float is the share of variance that they must explain at least, "mle"
        chooses by Minka's evidence, None keeps ``min(n_samples, n_features)`` (one less with "arpack").
    copy : bool, default=True
        Kept for compatibility: X is never overwritten.
    whiten : bool, default=False
        Whether `transform` divides each projection by its standard deviation.
    svd_solver : {"auto", "full", "covariance_eigh", "arpack", "randomized", "gram", "em"}, default="auto"
        "full" has the accuracy of an SVD of the centred data; "covariance_eigh" squares it, which is quick for many
        rows; "gram" takes the n x n matrix of inner products, which is quick for few rows, and gives small singular
        values back the digits that squaring cost; "arpack" and "randomized" compute leading components only, the
        latter by block Krylov iteration until a bound on its error is small enough, or exactly where that is
        cheaper; "em" iterates too, one callback task per iteration. "auto" chooses by shape as scikit-learn
        does. Data with NaN is fitted by expectation maximization whatever the solver.
    tol : float, default=0.0
        The relative accuracy asked of "arpack", "randomized" and "em"; 0 stands for rounding accuracy in "arpack"
        and "em", and 5e-5 in "randomized" (where "auto" takes it for sparse data 1e-9, or 1e-6 in float32). For data
        with NaN it is the gain in log-likelihood per observed entry at which to stop, and 0 stands for 1e-6.
    iterated_power : int or "auto", default="auto"
        The most products with the data that "randomized" may take; "auto" sets no limit but the error bound.
    n_oversamples : int, default=10
        "randomized" keeps up to ``4 * n_components + n_oversamples`` vectors, but at least 400 (160 for sparse data),
        before it restarts from the best.
    power_iteration_normalizer : {"auto", "QR", "LU", "none"}, default="auto"
        Kept for compatibility: block Krylov iteration always orthonormalizes.
    random_state : int, RandomState instance or None, default=None
        Start vectors of "arpack", "randomized" and "em".
    max_iter : int, default=1000
        The most iterations of expectation maximization, those of earlier fits counted with `warm_start`; a fit that
        would need more warns.
    warm_start : bool, default=False
        Whether expectation maximization goes on from the last fit; for data with NaN only.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Orthonormal directions by falling variance; the largest entry of each is positive.
    explained_variance_ : ndarray of shape (n_components,)
        The variance of the data along each, with ``n_samples - 1`` degrees of freedom.
    explained_variance_ratio_ : ndarray of shape (n_components,)
        Its share of the whole variance.
    singular_values_ : ndarray of shape (n_components,)
        Of the centred data.
    mean_ : ndarray of shape (n_features,)
        The mean.
    n_components_ : int
        The number of components.
    n_samples_ : int or float
        The number of rows, or the sum of their weights.
    noise_variance_ : float
        The mean variance of the directions left out.
    n_features_in_ : int
        The number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where X has any.
    n_iter_ : int
        Iterations taken; 1 for a direct solver.
    history_ : dict of str to list of float
        Of each iteration of "em" and of fits to data with NaN; else empty.

    See Also
    --------
    LinearAutoencoder : The same subspace, learnt as an encoder and a decoder.

    References
    ----------
    Tipping, Bishop (1999). Probabilistic principal component analysis. Journal of the Royal Statistical Society B.
    Ilin, Raiko (2010). Practical approaches to principal component analysis in the presence of missing values.
    Journal of Machine Learning Research.
    Ross, Lim, Lin, Yang (2008). Incremental learning for robust visual tracking. International Journal of Computer
    Vision.
    Musco, Musco (2015). Randomized block Krylov methods for stronger and faster approximate singular value
    decomposition. NeurIPS.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.decomposition import PCA
    >>> X = np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0], [3.0, np.nan]])
    >>> pca = PCA(n_components=1).fit(X)
    >>> pca.components_.round(3)
    array([[0.447, 0.894]])
    >>> pca.inverse_transform(pca.transform(X))[3].round(3)
    array([3., 6.])
    """

    _takes_steps = "svd_solver='em' takes them, and so does every fit of data with NaN"

    _parameter_constraints: dict = {
        "n_components": [
            Interval(Integral, 0, None, closed="left"),
            Interval(RealNotInt, 0, 1, closed="neither"),
            StrOptions({"mle"}),
            None,
        ],
        "copy": ["boolean"],
        "whiten": ["boolean"],
        "svd_solver": [StrOptions({"auto", "full", "covariance_eigh", "arpack", "randomized", "gram", "em"})],
        "tol": [Interval(Real, 0, None, closed="left")],
        "iterated_power": [StrOptions({"auto"}), Interval(Integral, 0, None, closed="left")],
        "n_oversamples": [Interval(Integral, 1, None, closed="left")],
        "power_iteration_normalizer": [StrOptions({"auto", "QR", "LU", "none"})],
        "random_state": ["random_state"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
    }

    def __init__(
        self,
        n_components=None,
        *,
        copy=True,
        whiten=False,
        svd_solver="auto",
        tol=0.0,
        iterated_power="auto",
        n_oversamples=10,
        power_iteration_normalizer="auto",
        random_state=None,
        max_iter=1000,
        warm_start=False,
    ):
        self.n_components = n_components
        self.copy = copy
        self.whiten = whiten
        self.svd_solver = svd_solver
        self.tol = tol
        self.iterated_power = iterated_power
        self.n_oversamples = n_oversamples
        self.power_iteration_normalizer = power_iteration_normalizer
        self.random_state = random_state
        self.max_iter = max_iter
        self.warm_start = warm_start

    # ------------------------------------------------------------------------------------------ fitting

    @fitting
    @fit_in_numpy
    def fit(self, X, y=None, sample_weight=None):
        """Fit the model to X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data; NaN means missing.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            How often each row counts; weight k equals k copies.

        Returns
        -------
        self : PCA
            The fitted estimator.
        """
        self._fit(X, y, sample_weight)
        return self

    @fitting
    @fit_in_numpy
    def fit_transform(self, X, y=None, sample_weight=None):
        """Fit the model to X and return X projected on the components.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data; NaN means missing.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            How often each row counts; weight k equals k copies.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_components)
            The projections.
        """
        X, scores = self._fit(X, y, sample_weight)
        if scores is None:
            return self._projected(X)
        scores = scores[:, : self.n_components_]
        return self._whitened(scores)

    @fitting
    @fit_in_numpy
    def partial_fit(self, X, y=None, sample_weight=None):
        """Go on with more rows: with all components kept, the same as fitting all rows at once.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The next batch, complete; one row is enough.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            How often each row counts.

        Returns
        -------
        self : PCA
            The fitted estimator.
        """
        fresh = not hasattr(self, "components_")
        X = self._validated(X, reset=fresh)
        X, weights = weighted_rows(X, validate_weights(sample_weight, X))
        if sp.issparse(X):
            raise TypeError("PCA.partial_fit does not support sparse input; use fit, which never densifies it.")
        if isinstance(self.n_components, str) or (self.n_components is not None and 0 < self.n_components < 1):
            raise ValueError(f"partial_fit needs a whole number of components or None, got {self.n_components!r}.")
        with fit_task(self, X=X, y=y, sample_weight=sample_weight):
            n_samples = spectral.n_observations(X, weights)
            spectrum = self._batch_spectrum(X, weights)
            if not fresh:
                before = self.n_samples_
                spectrum = incremental.merged(
                    self._spectrum(), before, spectrum, n_samples, self._n_kept(before + n_samples, X)
                )
                n_samples += before
            vars(self).update(self._attributes(spectrum, n_samples, X))
            # Rounded to float32 after each of many batches the mean would drift.
            self._exact = spectrum._replace(scores=None)._asdict() if X.dtype == np.float32 else None
            self._fit_svd_solver, self.history_, self.n_iter_, self._factors = "full", {}, 1, None
        return self

    def _n_kept(self, n_samples, X):
        limit = min(max(1, int(n_samples)), X.shape[1])
        return limit if self.n_components is None else min(self.n_components, limit)

    def _batch_spectrum(self, X, weights):
        if has_missing(X):
            raise ValueError("Input X contains NaN; partial_fit needs complete rows, fit takes missing values.")
        scale = UNWEIGHTED if weights is None else np.sqrt(weights)
        return direct_axes(X, scale, min(X.shape), "full", spectral.Options())

    def _spectrum(self):
        """Return the Spectrum behind the fitted attributes."""
        if self._exact is not None:
            return spectral.Spectrum(**self._exact)
        values = self.singular_values_.astype(np.float64)
        return spectral.Spectrum(self.mean_.astype(np.float64), self.components_, values, self._total)

    def _fit(self, X, y, sample_weight):
        given = self._validated(X, reset=True, ensure_min_samples=2)
        X, weights = weighted_rows(given, validate_weights(sample_weight, given))
        n_samples = spectral.n_observations(X, weights)
        if n_samples <= 1:
            raise ValueError(
                f"The weights sum to {n_samples:g}, but count copies of rows: PCA needs a sum above 1; multiply them."
            )
        scores = None
        seen = {"X": given, "y": y, "sample_weight": sample_weight}
        with fit_task(self, **seen, max_subtasks=None) as context:
            solver = self._solver(X, n_samples)
            k = self._n_vectors(X, n_samples, solver)
            scale = UNWEIGHTED if weights is None else np.sqrt(weights)
            try:
                if solver == "em":
                    fitted = self._fit_em(context, X, scale, k, n_samples, seen)
                else:
                    spectrum = spectral.principal_axes(X, scale, k, solver, self._options(solver))
                    fitted, scores = self._attributes(spectrum, n_samples, X), spectrum.scores
            except FloatingPointError:
                if has_missing(X):
                    fitted = self._fit_missing(context, X, weights, k, seen)
                else:
                    spectrum = scaled_axes(X, scale, k, solver.replace("em", "full"), self._options(solver))
                    fitted = self._attributes(spectrum, n_samples, X)
            vars(self).update(
                {"history_": {}, "n_iter_": 1, "_fit_svd_solver": solver, "_factors": None, "_exact": None, **fitted}
            )
        return given, scores

    def _fit_em(self, context, X, scale, k, n_samples, seen):
        """Return the fitted attributes of "em" on complete data."""
        rows, steps = spectral.em_steps(X, scale, k, self._options("em"), self.max_iter)

        def attributes(ritz, history):
            fitted = self._attributes(spectral.spectrum_of(rows, ritz), n_samples, X)
            return {**fitted, "history_": history, "n_iter_": len(history["error"])}

        run = run_steps(self, context, steps, task="iteration", attributes=attributes, **seen)
        errors = run.history["error"]  # those of small values may stay above tol: rounding ends the iteration first
        self._warn_of(run, len(errors) >= self.max_iter and errors[-1] > (self.tol or spectral.EM_TOL))
        return attributes(run.state, run.history)

    def _fit_missing(self, context, X, weights, k, seen):
        """Return the fitted attributes of expectation maximization over the observed entries."""
        X, weights = missing.informative_rows(X, weights)
        missing.refuse_extremes(X)
        constants = missing.constant_columns(X)
        if constants is not None:
            flat = np.broadcast_to(constants, X.shape).copy()
            return self._attributes(direct_axes(flat, UNWEIGHTED, k, "full", spectral.Options()), weights.sum(), flat)
        n_samples, size = weights.sum(), min(k, min(X.shape) - 1)
        start, history = getattr(self, "_factors", None), None
        if self.warm_start and start is not None and start["W"].shape == (X.shape[1], size):
            start, history = missing.Factors(**start), self.history_
        else:
            start = missing.first_factors(X, weights, size)

        def attributes(factors, history):
            spectrum = missing.spectrum_of(factors, n_samples, k)
            fitted = self._attributes(spectrum, n_samples, X)
            return {**fitted, "history_": history, "n_iter_": factors.n_iter, "_factors": factors._asdict()}

        tol = self.tol or 1e-6
        if missing.iteration_done(start, missing.fingerprint(X, weights), tol, self.max_iter):
            return attributes(start, history)
        steps = missing.em_steps(X, weights, start, tol, self.max_iter)
        run = run_steps(self, context, steps, task="iteration", attributes=attributes, history=history, **seen)
        self._warn_of(run, run.state.gain >= tol)
        return attributes(run.state, run.history)

    def _warn_of(self, run, unfinished):
        if unfinished and run.stopped is None:
            message = f"PCA did not converge in max_iter={self.max_iter} iterations; increase max_iter or tol."
            warn_caller(message, ConvergenceWarning)

    def _validated(self, X, *, reset, **check_params):
        # Not searched for NaN here: the first pass over the data sees it in its sums.
        with config_context(assume_finite=True):
            return validate_X(self, X, reset=reset, accept_sparse=True, allow_nan=True, **check_params)

    def _solver(self, X, n_samples):
        """Return the solver to use."""
        sparse = sp.issparse(X)
        if sparse and self.svd_solver not in SPARSE_SOLVERS:
            raise TypeError(
                'PCA only support sparse inputs with the "arpack" and "covariance_eigh" solvers, while '
                f'"{self.svd_solver}" was passed; "auto" and "em" take sparse input too.'
            )
        if self.svd_solver != "auto":
            return self.svd_solver
        k = self.n_components if isinstance(self.n_components, Integral) else None
        return spectral.automatic_solver(max(X.shape[0], int(n_samples)), X.shape[1], sparse, k)

    def _n_vectors(self, X, n_samples, solver):
        """Return how many singular vectors to compute, after checking `n_components` against the data."""
        limit = min(max(X.shape[0], int(n_samples)), X.shape[1])
        strict = solver == "arpack"
        k = self.n_components
        if k is None:
            return limit - 1 if strict else limit
        if solver in TRUNCATED_SOLVERS:
            if isinstance(k, str):
                raise ValueError(f"n_components={k!r} cannot be a string with svd_solver='{solver}'")
            if not 1 <= k <= limit:
                raise ValueError(
                    f"n_components={k!r} must be between 1 and min(n_samples, n_features)={limit!r} "
                    f"with svd_solver='{solver}'"
                )
            if strict and k == limit:
                raise ValueError(
                    f"n_components={k!r} must be strictly less than min(n_samples, n_features)={limit!r} "
                    f"with svd_solver='{solver}'"
                )
            return k
        if k == "mle" and n_samples < X.shape[1]:
            raise ValueError("n_components='mle' is only supported if n_samples >= n_features")
        if isinstance(k, Integral) and k > limit:
            raise ValueError(
                f"n_components={k} must be between 0 and min(n_samples, n_features)={limit} with svd_solver={solver!r}"
            )
        return k if isinstance(k, Integral) else limit

    def _options(self, solver):
        seed = int(check_random_state(self.random_state).randint(2**31 - 1)) if solver in TRUNCATED_SOLVERS else 0
        return spectral.Options(self.tol, self.n_oversamples, self.iterated_power, seed)

    def _attributes(self, spectrum, n_samples, X):
        """Return the fitted attributes that a Spectrum of `n_samples` observations gives."""
        limit = min(max(X.shape[0], int(n_samples)), X.shape[1])
        dtype = X.dtype.type
        freedom = max(n_samples - 1, np.finfo(np.float64).tiny)
        with np.errstate(over="ignore", under="ignore"):
            variance = spectrum.singular_values**2 / freedom
            total = spectrum.total / freedom
        check_representable(spectrum, variance, dtype)
        ratios = (variance / total if total > 0 else 0 * variance).astype(dtype)
        k = len(variance)
        if self.n_components == "mle":
            k = by_evidence(variance, n_samples)
        elif self.n_components is not None and 0 < self.n_components < 1:
            k = by_explained_variance(ratios, self.n_components)
        left = max(0.0, total - float(variance[:k].sum()))
        return {
            "mean_": spectrum.mean.astype(dtype),
            "components_": np.array(spectrum.components[:k], dtype=dtype, copy=None if k == len(variance) else True),
            "explained_variance_": variance[:k].astype(dtype),
            "explained_variance_ratio_": ratios[:k],
            "singular_values_": spectrum.singular_values[:k].astype(dtype),
            "noise_variance_": dtype(left / (limit - k) if k < limit else 0.0),
            "n_components_": k,
            "n_samples_": int(n_samples) if float(n_samples).is_integer() else float(n_samples),
            "_total": spectrum.total,
        }

    # ---------------------------------------------------------------------------------------- transforming

    @use_in_numpy("components_")
    def transform(self, X):
        """Return X projected on the components.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            New data; of an incomplete row the expected projection is returned, given what is known of it.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_components)
            The projections.
        """
        check_is_fitted(self)
        return self._projected(self._validated(X, reset=False))

    def _projected(self, X):
        V = self.components_.T.astype(X.dtype, copy=False)
        Y = project(X, self.mean_, V)
        with np.errstate(over="ignore", invalid="ignore"):
            if Y.shape[1] and np.isfinite(Y.sum()):
                return self._whitened(Y)
            unclear = ~np.isfinite(Y).all(axis=1) if Y.shape[1] else ~np.isfinite(_row_sums(X))
        if unclear.any():
            Y[unclear] = self._projected_incomplete(X[unclear], V)
        return self._whitened(Y)

    def _projected_incomplete(self, X, V):
        """Return the expected projections of rows with NaN, given their other entries."""
        has_missing(X)
        Y = np.empty((X.shape[0], V.shape[1]), V.dtype)
        for rows, filled in missing.completed(X, self._model_factors()):
            Y[rows] = project(filled, self.mean_, V)
        if not np.isfinite(Y).all():
            raise ValueError(f"The projections of X are too large for {Y.dtype}; divide the data by a constant first.")
        return Y

    def _model_factors(self):
        return missing.factors_of(self.mean_, self.components_, self._model_variances(), self.noise_variance_)

    def _whitened(self, Y):
        if self.whiten:
            Y /= self._scales().astype(Y.dtype)
        return Y

    def _unwhitened(self, Y):
        return Y * np.sqrt(self.explained_variance_) if self.whiten else Y

    def _scales(self):
        # Directions without variance must not become infinite.
        scales = np.sqrt(self.explained_variance_)
        return np.maximum(scales, np.finfo(scales.dtype).eps)

    @use_in_numpy("components_")
    def inverse_transform(self, X):
        """Return projections to the space of the data.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Projections.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            The points they stand for.
        """
        check_is_fitted(self)
        X = validate_codes(X, self.n_components_)
        return gaussian.reconstructed(self._unwhitened(X), self.mean_, self.components_)

    @use_in_numpy("components_")
    def reconstruction_error(self, X):
        """Return the squared distance between each row and its reconstruction.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The data; entries that are missing don't count.

        Returns
        -------
        errors : ndarray of shape (n_samples,)
            ``|x - inverse_transform(transform(x))|**2``.
        """
        check_is_fitted(self)
        X = self._validated(X, reset=False)
        Y = self._unwhitened(self._projected(X)).astype(np.float64, copy=False)
        errors = gaussian.squared_residuals(X, self.mean_, self.components_, Y)
        return per_row(errors, X.dtype, "squared error")

    # --------------------------------------------------------------------------------------- the Gaussian

    def _model_variances(self):
        # With whiten=True scikit-learn scales the components by their standard deviation; so does its drop-in.
        if not self.whiten:
            return self.explained_variance_
        with np.errstate(over="ignore"):
            variances = (self.explained_variance_ - self.noise_variance_) * self.explained_variance_
        if not np.isfinite(variances).all():
            raise ValueError("The variances are too large for whiten=True, which multiplies them; divide X first.")
        return variances + self.noise_variance_

    @use_in_numpy("components_")
    def get_covariance(self):
        """Return the covariance matrix of the probabilistic model.

        Returns
        -------
        covariance : ndarray of shape (n_features, n_features)
            ``components_.T @ diag(explained_variance_ - noise_variance_) @ components_ + noise_variance_ * I``.
        """
        check_is_fitted(self)
        return gaussian.covariance(self.components_, self._model_variances(), self.noise_variance_)

    @use_in_numpy("components_")
    def get_precision(self):
        """Return the inverse of the covariance matrix of the probabilistic model.

        Returns
        -------
        precision : ndarray of shape (n_features, n_features)
            By the matrix inversion lemma.
        """
        check_is_fitted(self)
        return gaussian.precision(self.components_, self._model_variances(), self.noise_variance_)

    @use_in_numpy("components_")
    def score_samples(self, X):
        """Return the log-likelihood of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data; of an incomplete row the likelihood of what is known is returned.

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,)
            In nats.
        """
        check_is_fitted(self)
        X = self._validated(X, reset=False)
        model = (self.components_, self._model_variances(), self.noise_variance_)
        with np.errstate(over="ignore", invalid="ignore"):
            log_density = gaussian.log_density(X, self.mean_, *model)
        unclear = ~np.isfinite(log_density)
        if unclear.any() and has_missing(X[unclear]):
            log_density[unclear] = missing.log_density(X[unclear], self._model_factors())
        return per_row(log_density, X.dtype, "log-likelihood")

    @use_in_numpy("components_")
    def score(self, X, y=None):
        """Return the mean log-likelihood of the rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data.
        y : None
            Ignored.

        Returns
        -------
        log_likelihood : float
            In nats per row.
        """
        return float(np.mean(self.score_samples(X), dtype=np.float64))

    @property
    def _n_features_out(self):
        return self.components_.shape[0]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.sparse = self.svd_solver in SPARSE_SOLVERS
        tags.input_tags.allow_nan = True
        return tags


def _row_sums(X):
    return np.asarray(X.sum(axis=1)).ravel()
