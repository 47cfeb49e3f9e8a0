"""Principal component analysis: the estimator."""

from numbers import Integral, Real

import numpy as np
import scipy.sparse as sp
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted

from skml._sklearn import Interval, StrOptions
from skml.base import fit_task, fitting, validate_weights, validate_X
from skml.decomposition import gaussian, spectral
from skml.decomposition.dimension import by_evidence, by_explained_variance
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
        chooses by Minka's evidence, None keeps ``min(n_samples, n_features)`` (one less with "arpack" and for
        sparse data).
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
        and "em", 1e-5 in "randomized", and 1e-7 for data with NaN.
    iterated_power : int or "auto", default="auto"
        The most products with the data that "randomized" may take; "auto" sets no limit but the error bound.
    n_oversamples : int, default=10
        How many vectors more than `n_components` the iterative solvers keep at a restart.
    power_iteration_normalizer : {"auto", "QR", "LU", "none"}, default="auto"
        Kept for compatibility: block Krylov iteration always orthonormalizes.
    random_state : int, RandomState instance or None, default=None
        Start vectors of "arpack", "randomized" and "em".
    max_iter : int, default=1000
        The most iterations of expectation maximization, those of earlier fits counted with `warm_start`.
    warm_start : bool, default=False
        Whether expectation maximization goes on from the last fit.

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
    feature_names_in_ : ndarray of shape (n_features_in_,)
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

    _parameter_constraints: dict = {
        "n_components": [
            Interval(Integral, 0, None, closed="left"),
            Interval(Real, 0, 1, closed="neither"),
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

    def _fit(self, X, y, sample_weight):
        X = self._validated(X, reset=True, ensure_min_samples=2)
        weights = validate_weights(sample_weight, X)
        with fit_task(self, X=X, y=y, sample_weight=sample_weight, max_subtasks=None):
            n_samples = spectral.n_observations(X, weights)
            solver = self._solver(X, n_samples)
            n_vectors = self._n_vectors(X, n_samples, solver)
            scale = UNWEIGHTED if weights is None else np.sqrt(weights)
            spectrum = spectral.principal_axes(X, scale, n_vectors, solver, self._options(solver))
            self._set_spectrum(spectrum, n_samples, X)
            self._fit_svd_solver = solver
        return X, spectrum.scores

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
        n_rows, n_features = max(X.shape[0], int(n_samples)), X.shape[1]
        if sparse:
            return "randomized"
        if n_features <= 1000 and n_rows >= 10 * n_features:
            return "covariance_eigh"
        if max(n_rows, n_features) <= 500 or self.n_components == "mle":
            return "full"
        if self.n_components is not None and 1 <= self.n_components < 0.8 * min(n_rows, n_features):
            return "randomized"
        return "full"

    def _n_vectors(self, X, n_samples, solver):
        """Return how many singular vectors to compute, after checking `n_components` against the data."""
        limit = min(max(X.shape[0], int(n_samples)), X.shape[1])
        strict = solver == "arpack" or (sp.issparse(X) and solver == "randomized")
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
                f"n_components={k} must be between 0 and min(n_samples, n_features)={limit} with "
                f"svd_solver={solver!r}"
            )
        return k if isinstance(k, Integral) else limit

    def _options(self, solver):
        seed = int(check_random_state(self.random_state).randint(2**31 - 1)) if solver in TRUNCATED_SOLVERS else 0
        return spectral.Options(self.tol, self.n_oversamples, self.iterated_power, seed)

    def _set_spectrum(self, spectrum, n_samples, X):
        """Set the fitted attributes from a Spectrum of `n_samples` observations."""
        limit = min(max(X.shape[0], int(n_samples)), X.shape[1])
        dtype = X.dtype.type
        variance = spectrum.singular_values**2 / (n_samples - 1)
        total = spectrum.total / (n_samples - 1)
        ratios = (variance / total if total > 0 else 0 * variance).astype(dtype)
        k = len(variance)
        if self.n_components == "mle":
            k = by_evidence(variance, n_samples)
        elif self.n_components is not None and 0 < self.n_components < 1:
            k = by_explained_variance(ratios, self.n_components)
        left = max(0.0, total - float(variance[:k].sum()))
        self.mean_ = spectrum.mean.astype(dtype)
        self.components_ = np.array(spectrum.components[:k], dtype=dtype)
        self.explained_variance_ = variance[:k].astype(dtype)
        self.explained_variance_ratio_ = ratios[:k]
        self.singular_values_ = spectrum.singular_values[:k].astype(dtype)
        self.noise_variance_ = dtype(left / (limit - k) if k < limit else 0.0)
        self.n_components_ = k
        self.n_samples_ = int(n_samples) if float(n_samples).is_integer() else n_samples
        self.n_iter_ = 1

    # ---------------------------------------------------------------------------------------- transforming

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
        return self._whitened(project(X, self.mean_, V))

    def _whitened(self, Y):
        if self.whiten:
            Y /= self._scales().astype(Y.dtype)
        return Y

    def _scales(self):
        # Directions without variance must not become infinite.
        scales = np.sqrt(self.explained_variance_)
        return np.maximum(scales, np.finfo(scales.dtype).eps)

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
        X = check_array(X, input_name="X", dtype=[np.float64, np.float32])
        if self.whiten:
            X = X * np.sqrt(self.explained_variance_)
        return X @ self.components_ + self.mean_

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
        V = self.components_.T.astype(np.float64)
        Y = project(X, self.mean_, V)
        return gaussian.squared_residuals(X, self.mean_, self.components_, Y).astype(X.dtype)

    # --------------------------------------------------------------------------------------- the Gaussian

    def _model_variances(self):
        # With whiten=True scikit-learn scales the components by their standard deviation; so does its drop-in.
        if not self.whiten:
            return self.explained_variance_
        return (self.explained_variance_ - self.noise_variance_) * self.explained_variance_ + self.noise_variance_

    def get_covariance(self):
        """Return the covariance matrix of the probabilistic model.

        Returns
        -------
        covariance : ndarray of shape (n_features, n_features)
            ``components_.T @ diag(explained_variance_ - noise_variance_) @ components_ + noise_variance_ * I``.
        """
        check_is_fitted(self)
        return gaussian.covariance(self.components_, self._model_variances(), self.noise_variance_)

    def get_precision(self):
        """Return the inverse of the covariance matrix of the probabilistic model.

        Returns
        -------
        precision : ndarray of shape (n_features, n_features)
            By the matrix inversion lemma.
        """
        check_is_fitted(self)
        return gaussian.precision(self.components_, self._model_variances(), self.noise_variance_)

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
        log_density = gaussian.log_density(
            X, self.mean_, self.components_, self._model_variances(), self.noise_variance_
        )
        return log_density.astype(X.dtype)

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
