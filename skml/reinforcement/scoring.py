"""A scorer for searches over logs: what an agent would earn, rather than how much it does what the log did."""

from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import UNUSED

__all__ = ["OPEScorer"]


class OPEScorer(BaseEstimator):
    """A scorer that estimates from a log what an agent would earn, by its method `ope_score`.

    For ``scoring=`` of a search or a cross-validation over the steps of a log, where accuracy would prefer who imitates
    it. With metadata routing, it asks for `reward`, `episode` and `terminated` by itself. Folds must not tear episodes,
    see ``GroupKFold``.

    Parameters
    ----------
    method : {"ordinary", "weighted", "doubly_robust"}, default="doubly_robust"
        As in `ope_score`.
    discount : float, default=1.0
        Of rewards.

    See Also
    --------
    skml.reinforcement.evaluate : Plays episodes, where there is an environment.

    Examples
    --------
    >>> import numpy as np
    >>> import sklearn
    >>> from sklearn.model_selection import cross_val_score
    >>> from skml import PolicyIteration
    >>> from skml.reinforcement import OPEScorer
    >>> rng = np.random.default_rng(0)
    >>> X, y = np.tile([[0.0], [1.0]], (200, 1)), rng.integers(2, size=400)  # episodes of two steps
    >>> reward = np.where(X[:, 0] == 0, -y, 3 * np.roll(y, 1))  # action 1 costs 1 at first, and brings 3 at last
    >>> steps = {"reward": reward, "episode": np.arange(400) // 2, "terminated": X[:, 0] == 1}
    >>> with sklearn.config_context(enable_metadata_routing=True):
    ...     agent = PolicyIteration().set_fit_request(reward=True, episode=True, terminated=True)
    ...     scores = cross_val_score(agent, X, y, scoring=OPEScorer(), cv=2, params=steps)
    >>> scores.shape
    (2,)
    """

    # A search hands these columns of a log on without being told.
    __metadata_request__score = {"estimator": UNUSED, "reward": True, "episode": True, "terminated": True}

    def __init__(self, method="doubly_robust", *, discount=1.0):
        self.method = method
        self.discount = discount

    def __call__(self, *args, **kwargs):
        """Return what :meth:`score` does, as scorers are called.

        Parameters
        ----------
        *args : tuple
            As for :meth:`score`.
        **kwargs : dict
            As for :meth:`score`.

        Returns
        -------
        score : float
            The estimated mean return of an episode.
        """
        return self.score(*args, **kwargs)

    def score(self, estimator, X, y, *, reward=None, episode=None, terminated=None, behavior=None):
        """Return what an agent would earn, by a log.

        Parameters
        ----------
        estimator : estimator
            Fitted; an agent, or a pipeline that ends in one.
        X : array-like of shape (n_steps, n_features)
            Observations.
        y : array-like of shape (n_steps,)
            Actions.
        reward, episode, terminated : array-like of shape (n_steps,)
            What else a log says of its steps.
        behavior : array-like of shape (n_steps,) or None, default=None
            How likely each action was; None estimates it. A search hands it on after
            ``set_score_request(behavior=True)``.

        Returns
        -------
        score : float
            The estimated mean return of an episode.

        Raises
        ------
        TypeError
            If the estimator has no `ope_score`.
        ValueError
            If there are no rewards, or as `ope_score` does.
        """
        if reward is None:
            raise ValueError(
                "OPEScorer needs the rewards of the steps: give reward=, and in a search "
                "set enable_metadata_routing=True."
            )
        agent, X = _agent(estimator, X)
        if not hasattr(agent, "ope_score"):
            raise TypeError(f"OPEScorer needs an agent with ope_score, got {type(agent).__name__}.")
        log = {"reward": reward, "episode": episode, "terminated": terminated, "behavior": behavior}
        return agent.ope_score(X, y, method=self.method, discount=self.discount, **log)


def _agent(estimator, X):
    """Return the agent at the end of a pipeline, or that a search has found, and what it observes."""
    if hasattr(estimator, "best_estimator_"):
        return _agent(estimator.best_estimator_, X)
    if isinstance(estimator, Pipeline):
        return _agent(estimator[-1], estimator[:-1].transform(X) if len(estimator) > 1 else X)
    return estimator, X
