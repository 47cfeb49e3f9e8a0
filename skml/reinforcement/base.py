"""What agents and planners share: they learn in environments or from a log, and are classifiers of observations."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skml._labels import labels_of
from skml.base import fitting, validate_weights, validate_X, warn_caller
from skml.reinforcement.evaluation import evaluate_policy, record_frames, rollout_table
from skml.reinforcement.logged import LogColumns, episode_log, imitation_log, read_table
from skml.reinforcement.ope import estimate_return
from skml.reinforcement.spaces import Discrete, MultiDiscrete
from skml.reinforcement.worlds import number_of_features, spaces_of, validate_observations, worlds_of

EPISODES = 100  # that an evaluation plays unless told


def _has_actions_to_count(agent):
    """Tell whether the agent chooses among a number of actions, or doesn't know yet."""
    return not hasattr(agent, "action_space_") or agent.action_space_ is None or hasattr(agent.action_space_, "n")


def _knows_worth(agent):
    """Tell whether the agent knows what observations are worth, or may know it once it is fitted."""
    return agent._has_state_values


class BaseAgent(
    ClassNamePrefixFeaturesOutMixin, ClassifierMixin, TransformerMixin, CallbackSupportMixin, BaseEstimator
):
    """The shell of agents and planners.

    A class of it learns in ``_learn_worlds(worlds)`` and in ``_learn_log(log)``, which set its fitted attributes. It
    says what it would do in ``_policy(observations)``, probabilities of shape (n, n_actions), and what it thinks of
    observations in ``_values(observations)``, of shape (n, ``_n_features_out``).
    """

    @fitting
    def fit(self, X, y=None, sample_weight=None, *, reward=None, episode=None, terminated=None):
        """Learn to act, in environments or from a log.

        Parameters
        ----------
        X : environment, FiniteMDP, list of such, or array-like of shape (n_steps, n_features)
            Where to act: anything with the methods ``reset`` and ``step`` of Gymnasium, alone, in a list, or as a
            vector environment. Or what was observed before each step of a log; or a whole log in a table, as
            :meth:`rollout` returns it.
        y : array-like of shape (n_steps,) or None, default=None
            The action taken in each step of a log; None with environments, and with a table, whose column "action" it
            is; then "reward", "episode" and "terminated" are read from the table too, unless they are given.
        sample_weight : array-like of shape (n_steps,), default=None
            Non-negative weights of the steps of a log.
        reward : array-like of shape (n_steps,), default=None
            What each step of a log earned. None means that the log is to be imitated: each step stands alone.
        episode : array-like of shape (n_steps,), default=None
            The name of the episode of each step. Rows of one episode are its successive steps, whatever stands between
            them. None makes the rows one episode, which ends and begins anew where `terminated` is true.
        terminated : array-like of shape (n_steps,) of bool, default=None
            Whether the episode truly ended with the step. The last step of an episode that did not has no known
            successor, and tells nothing of what it was worth. None means that none ended, and warns of it where there
            are rewards: zeros say the same in silence.

        Returns
        -------
        self : object
            The fitted agent.

        Raises
        ------
        ValueError
            If environments differ in their spaces, there are none, or a log is incomplete.

        Examples
        --------
        >>> from skml.reinforcement import FrozenLake, QLearning, ValueIteration
        >>> lake = FrozenLake(is_slippery=False)
        >>> table = QLearning(max_steps=50_000, random_state=0).fit(lake).rollout(lake, n_episodes=2)
        >>> ValueIteration().fit(table).score(lake)  # plans on what the table shows
        1.0
        """
        columns = LogColumns(reward, episode, terminated)
        worlds = worlds_of(X)
        if worlds is not None:
            return self._fit_worlds(worlds, y, sample_weight, columns)
        return self._fit_log(X, y, sample_weight, columns)

    def _fit_worlds(self, worlds, y, sample_weight, columns):
        given = {"y": y, "sample_weight": sample_weight}
        if given := [*(name for name, value in given.items() if value is not None), *columns.given()]:
            belong = "belong" if len(given) > 1 else "belongs"
            raise ValueError(f"{', '.join(given)} {belong} to a log; X is an environment, which answers itself.")
        self._enter(*spaces_of(worlds))
        self._learn_worlds(worlds)
        return self

    def _enter(self, observation_space, action_space):
        """Take up what observations and actions look like."""
        vars(self).pop("feature_names_in_", None)
        vars(self).pop("classes_", None)
        self.n_features_in_ = number_of_features(observation_space)
        self.observation_space_, self.action_space_ = observation_space, action_space
        if hasattr(action_space, "n"):
            self.classes_ = np.arange(action_space.start, action_space.start + action_space.n)

    def _fit_log(self, X, y, sample_weight, columns):
        log = self._log(X, y, sample_weight, columns)
        self._learn_log(log)
        return self

    def _log(self, X, y, sample_weight, columns, reset=True, classes=None):
        """Return a log of what the user gave, and take up what its observations and actions look like."""
        X, y, columns = read_table(X, y, columns)
        X = validate_X(self, X, reset=reset, order="C")
        weights = validate_weights(sample_weight, X)
        labels = labels_of(y, X, weights if columns.reward is None else None, type(self).__name__, classes)
        if labels.multilabel:
            raise ValueError(f"{type(self).__name__} takes one action per step; y has {labels.y.shape[1]} columns.")
        if reset:
            self.classes_, self.observation_space_, self.action_space_ = labels.classes, None, None
        if columns.reward is None:
            return imitation_log(X, labels.y, len(labels.classes), weights)
        log = episode_log(X, labels.y, len(labels.classes), weights, columns)
        if (assumed := columns.assumed()) is not None:
            warn_caller(f"{type(self).__name__} learns from a log {assumed}", UserWarning)
        return log

    # ---------------------------------------------------------------------------------------------------- use

    def _observations(self, X):
        """Return validated observations as rows."""
        check_is_fitted(self)
        if self.observation_space_ is None:
            return validate_X(self, X, reset=False, order="C")
        return validate_observations(X, self.observation_space_, type(self).__name__)

    def predict(self, X):
        """Return the action to take at each observation: the one of the largest probability.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Observations. Of an environment whose observations are numbers of states, an array of shape (n_samples,)
            does as well.

        Returns
        -------
        actions : ndarray of shape (n_samples,) or (n_samples, n_numbers)
            Among ``classes_``; numbers inside the action space where actions are no choice among some.

        Raises
        ------
        ValueError
            If X holds no observations of the kind that the agent has learnt from.
        """
        return self._greedy(self._observations(X))

    def _greedy(self, observations):
        return self.classes_[self._policy(observations).argmax(axis=1)]

    @available_if(_has_actions_to_count)
    def predict_proba(self, X):
        """Return the probability with which the agent takes each action: its policy.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Observations, as for :meth:`predict`.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_actions)
            In the order of ``classes_``; rows sum to one.
        """
        return self._policy(self._observations(X))

    def transform(self, X):
        """Return what the agent thinks of observations.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Observations, as for :meth:`predict`.

        Returns
        -------
        values : ndarray of shape (n_samples, n_outputs)
            The value of each action, of agents that have such; else features of the policy.
        """
        return self._values(self._observations(X))

    @available_if(_knows_worth)
    def state_values(self, X):
        """Return what observations are worth, as the agent sees it: the return of its policy from there on.

        Of agents with action values their mean under the policy, V(s) = sum_a pi(a|s) Q(s, a); else what the critic
        says.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Observations, as for :meth:`predict`.

        Returns
        -------
        values : ndarray of shape (n_samples,)
            Discounted.
        """
        return self._state_values(self._observations(X))

    _has_state_values = True

    def _state_values(self, observations):
        policy, q = self._policy(observations), self._values(observations)
        return (policy * np.where(policy > 0, q, 0)).sum(axis=1)  # what is never done may be worth -inf

    # ------------------------------------------------------------------------------------------------ judging

    def score(self, X, y=None, sample_weight=None, *, n_episodes=None):
        """Return the mean return of episodes, or how many actions of a log are the agent's.

        Parameters
        ----------
        X : environment, FiniteMDP, list of such, or array-like of shape (n_steps, n_features)
            Where to act, or observations of a log.
        y : array-like of shape (n_steps,) or None, default=None
            The actions of a log.
        sample_weight : array-like of shape (n_steps,), default=None
            Of the steps of a log.
        n_episodes : int or None, default=None
            How many to play in all, shared out among environments; None plays 100, or one in each of more environments.

        Returns
        -------
        score : float
            The mean undiscounted return of the greedy policy, each environment counting the same; on a log the
            accuracy.
        """
        if worlds_of(X) is None:
            return super().score(X, y, sample_weight)
        return self.evaluate(X, n_episodes=n_episodes).mean

    def evaluate(self, X, n_episodes=None, *, greedy=True, coverage=0.95, max_episode_steps=None, random_state=0):
        """Play episodes and return what they earned, with a confidence interval of the mean.

        Parameters
        ----------
        X : environment, FiniteMDP or list of such
            Where to act.
        n_episodes : int or None, default=None
            How many to play in all; None plays 100, or one in each of more environments.
        greedy : bool, default=True
            Whether to take the likeliest action; else actions are drawn from the policy.
        coverage : float, default=0.95
            Of the confidence interval.
        max_episode_steps : int or None, default=None
            After how many steps an episode is cut off; None takes the agent's `max_episode_steps`, if it has one, and
            else leaves that to the environment.
        random_state : int, RandomState instance or None, default=0
            For the episodes; the same number plays the same ones.

        Returns
        -------
        evaluation : Evaluation
            ``mean``, ``standard_error``, ``interval``, ``returns`` and ``lengths``.

        Raises
        ------
        ValueError
            If the environment's spaces are not those that the agent knows.
        """
        worlds = self._known_worlds(X)
        episodes = max(EPISODES, len(worlds)) if n_episodes is None else n_episodes
        limit = max_episode_steps or getattr(self, "max_episode_steps", None)
        return evaluate_policy(worlds, self._actor(greedy), episodes, coverage, limit, _seed(random_state))

    def rollout(self, X, n_episodes=1, *, greedy=True, max_episode_steps=None, random_state=0):
        """Play episodes and return their steps as a table.

        Parameters
        ----------
        X : environment or FiniteMDP
            Where to act.
        n_episodes : int, default=1
            How many to play.
        greedy : bool, default=True
            Whether to take the likeliest action; else actions are drawn from the policy.
        max_episode_steps : int or None, default=None
            After how many steps an episode is cut off; None leaves that to the environment.
        random_state : int, RandomState instance or None, default=0
            For the episodes.

        Returns
        -------
        table : dict of str to ndarray of shape (n_steps,)
            "episode", "step", a column for each number of an observation, "action", "reward", "terminated" and
            "truncated"; ``pandas.DataFrame(table)`` makes a frame of it. It is a log: ``fit(table)`` learns from it.
        """
        worlds = self._known_worlds(X)
        return rollout_table(worlds, self._actor(greedy), n_episodes, max_episode_steps, _seed(random_state))

    def record(self, X, *, greedy=True, max_episode_steps=None, random_state=0):
        """Play an episode and return what the environment renders after each step.

        Parameters
        ----------
        X : environment
            One that renders.
        greedy : bool, default=True
            Whether to take the likeliest action; else actions are drawn from the policy.
        max_episode_steps : int or None, default=None
            After how many steps the episode is cut off; None leaves that to the environment.
        random_state : int, RandomState instance or None, default=0
            For the episode.

        Returns
        -------
        frames : list
            The first one is from before the first step.

        Raises
        ------
        ValueError
            If the environment renders nothing.
        """
        (world,) = self._known_worlds(X)
        return record_frames(world, self._actor(greedy), max_episode_steps, _seed(random_state))

    @available_if(_has_actions_to_count)
    def ope_score(
        self,
        X,
        y,
        *,
        reward,
        episode=None,
        terminated=None,
        greedy=False,
        method="weighted",
        behavior=None,
        discount=1.0,
    ):
        """Estimate from a log, which others wrote, the mean return that this agent would have (off-policy evaluation).

        Parameters
        ----------
        X : array-like of shape (n_steps, n_features)
            Observations.
        y : array-like of shape (n_steps,)
            The actions taken, among ``classes_``.
        reward, episode, terminated : array-like of shape (n_steps,)
            As for :meth:`fit`.
        greedy : bool, default=False
            Whether to judge what :meth:`predict` says, which is what :meth:`score` plays, and not the policy of
            :meth:`predict_proba`. The log has to have taken these actions now and then.
        method : {"ordinary", "weighted", "doubly_robust"}, default="weighted"
            Importance sampling per decision (Precup, Sutton & Singh 2000), its weighted form, or the doubly robust
            estimator (Jiang & Li 2016) with action values fitted to the log.
        behavior : array-like of shape (n_steps,) or None, default=None
            The probability with which the log's policy took each action; None estimates it by the frequencies of
            actions among equal observations.
        discount : float, default=1.0
            Of rewards.

        Returns
        -------
        score : float
            The estimated mean return of an episode.

        Raises
        ------
        ValueError
            If an action is unknown, a probability is none, or the log is incomplete.
        """
        check_is_fitted(self)
        observations = self._observations(X)
        log = self._shown(observations, y, LogColumns(reward, episode, terminated))
        policy = self._policy(observations)
        if greedy:
            policy = np.eye(policy.shape[1])[policy.argmax(axis=1)]
        return estimate_return(log, policy, method, behavior, discount)

    def _shown(self, observations, y, columns):
        labels = labels_of(y, observations, None, type(self).__name__, self.classes_)
        return episode_log(observations, labels.y, len(self.classes_), None, columns)

    def _known_worlds(self, X):
        """Return environments to act in, if they are of the kind that the agent knows."""
        check_is_fitted(self)
        worlds = worlds_of(X)
        if worlds is None:
            raise ValueError(f"X must be an environment or a list of some, got {type(X).__name__}.")
        observation_space, action_space = spaces_of(worlds)
        n = number_of_features(observation_space)
        if n != self.n_features_in_:
            raise ValueError(f"Observations of X have {n} features; {type(self).__name__} knows {self.n_features_in_}.")
        self._require_same_numbers(observation_space)
        self._require_same_actions(action_space)
        return worlds

    def _require_same_numbers(self, observation_space):
        mine = self.observation_space_
        if isinstance(mine, (Discrete, MultiDiscrete)) and mine != observation_space:
            raise ValueError(f"Observations of X are in {observation_space}; the agent has learnt from {mine}.")

    def _require_same_actions(self, action_space):
        mine = self.action_space_
        if mine is None and hasattr(action_space, "n"):
            theirs = np.arange(action_space.start, action_space.start + action_space.n)
            if self.classes_.dtype.kind not in "iuf" or not np.isin(self.classes_, theirs).all():
                raise ValueError(f"X takes the actions {theirs.tolist()}; the agent knows {self.classes_.tolist()}.")
        elif mine is None or mine != action_space:
            raise ValueError(f"X takes actions in {action_space}; the agent acts in {mine or self.classes_.tolist()}.")

    def _actor(self, greedy):
        """Return a function of observations (n, n_features), masks and draws: the actions to take."""

        def act(observations, allowed, draws):
            if observations.dtype.kind != "f":
                observations = observations.astype(np.float64)
            if greedy and allowed is None:
                return self._greedy(observations)
            return self._choose(observations, allowed, None if greedy else draws)

        return act

    def _choose(self, observations, allowed, draws):
        """Return actions drawn from the policy, or its likeliest (no draws), among those that are allowed."""
        policy = self._policy(observations).astype(np.float64)
        if allowed is not None:
            policy = np.where(allowed, policy, -1.0 if draws is None else 0.0)
        if draws is None:
            return self.classes_[policy.argmax(axis=1)]
        cumulative = policy.cumsum(axis=1)
        drawn = draws.random(len(policy))[:, None] * cumulative[:, -1:]
        return self.classes_[np.minimum((cumulative <= drawn).sum(axis=1), policy.shape[1] - 1)]

    def __sklearn_tags__(self):
        """Return the tags of a classifier and transformer that keeps the type of floats."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _seed(random_state):
    return int(check_random_state(random_state).randint(2**31 - 1))
