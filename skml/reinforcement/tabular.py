"""Agents that learn action values step by step, without a model: Q-learning and SARSA."""

from numbers import Integral, Real

from skml._sklearn import HasMethods, Interval, StrOptions
from skml.base import fitting
from skml.reinforcement.base import BaseAgent
from skml.reinforcement.logged import LogColumns
from skml.reinforcement.td import EXPECTED, MAXIMUM, TAKEN
from skml.reinforcement.td_training import go_on, learn_log, learn_worlds, rule_of, seed_of, taken_up

__all__ = ["SARSA", "QLearning"]

CONSTRAINTS = {
    "learning_rate": [StrOptions({"rescaled", "1/n"}), Interval(Real, 0, 1, closed="right"), tuple, callable],
    "discount": [Interval(Real, 0, 1, closed="both")],
    "exploration": [StrOptions({"epsilon-greedy", "softmax", "ucb", "optimistic"})],
    "epsilon": [Interval(Real, 0, 1, closed="both"), tuple, callable],
    "temperature": [Interval(Real, 0, None, closed="neither"), tuple, callable],
    "bonus": [Interval(Real, 0, None, closed="left"), tuple, callable],
    "initial_value": [Interval(Real, None, None, closed="neither")],
    "n_steps": [Interval(Integral, 1, None, closed="left")],
    "trace_decay": [Interval(Real, 0, 1, closed="both")],
    "replacing_traces": ["boolean"],
    "max_steps": [Interval(Integral, 1, None, closed="left")],
    "max_episodes": [Interval(Integral, 1, None, closed="left"), None],
    "max_episode_steps": [Interval(Integral, 1, None, closed="left"), None],
    "n_envs": [Interval(Integral, 1, None, closed="left")],
    "discretizer": [HasMethods(["fit", "transform"]), None],
    "feature_map": [HasMethods(["fit", "transform"]), None],
    "tol": [Interval(Real, 0, None, closed="left")],
    "random_state": ["random_state"],
    "warm_start": ["boolean"],
}


class QLearning(BaseAgent):
    """Q-learning: action values from the best action of the next state, whatever is done there.

    It learns in environments, step by step and without a model of them; on environments and processes of skml that
    have finitely many states the whole loop is compiled. From a log of actions it learns as well: with rewards by
    sweeps over its steps, without any by imitation.

    Parameters
    ----------
    learning_rate : {"rescaled", "1/n"}, float, tuple of two floats, or callable, default="rescaled"
        How far a value moves towards its target. "rescaled" is ``1 / (1 + (1 - discount) (n - 1))`` at the n-th visit
        of a pair [3]_ (with discount 1, where that never averages, ``1 / (1 + 0.2 (n - 1))``), which averages noise out
        and yet forgets what early targets had wrong; "1/n" is the plain mean,
        which forgets slowly. A number is constant; of two, the rate goes from the first to the second in a straight
        line; a function of (step, total) gives the rate. Noisy targets (`n_steps`, `trace_decay`, much exploration
        in SARSA) need small numbers.
    discount : float, default=0.99
        Of rewards, in [0, 1]. 1 stands for 1 - 1e-9, so that of ways that earn the same the shorter one is better: else
        going round before the end, where that costs nothing, would be as good as getting there.
    exploration : {"epsilon-greedy", "softmax", "ucb", "optimistic"}, default="epsilon-greedy"
        How actions are chosen while learning: at random with probability `epsilon`, else the best; with probabilities
        proportional to ``exp(Q / temperature)``; the largest ``Q + bonus sqrt(ln N(s) / N(s, a))``; or always the best,
        which explores as long as `initial_value` is above what there is to earn. Ties are broken at random.
    epsilon : float, tuple of two floats, or callable, default=(1.0, 0.05)
        Of "epsilon-greedy": a probability, or a schedule like that of `learning_rate`.
    temperature : float, tuple of two floats, or callable, default=1.0
        Of "softmax", in units of the values; or a schedule.
    bonus : float, tuple of two floats, or callable, default=1.0
        Of "ucb", in units of the values; or a schedule.
    initial_value : float, default=0.0
        Of every action before it was tried.
    double : bool, default=False
        Whether to learn two tables, each judging the best action of the other [2]_: the maximum over noisy values is
        too high, and this takes that out. Rates go by the visits of a pair, whichever table learned from them.
        A log, whose sweeps take means, needs but one.
    n_steps : int, default=1
        Rewards that a target sums up before it relies on values: G = r + discount r' + ... + discount^n V.
    trace_decay : float, default=0.0
        Lambda, in [0, 1]: above 0 every step teaches the pairs before it as well, in proportion to traces that fade by
        ``discount * trace_decay`` a step; in place of `n_steps`.
    replacing_traces : bool, default=True
        Whether a visit sets a trace to 1, else adds 1 to it.
    max_steps : int, default=500_000
        Steps in environments in all, rounded up to whole steps of all copies; on a log, the most sweeps over it.
    max_episodes : int or None, default=None
        Episodes in all, if they are over before `max_steps` is reached.
    max_episode_steps : int or None, default=None
        After so many steps an episode is cut off; None leaves that to the environment.
    n_envs : int, default=1
        Copies that act in lockstep and learn into the same values; of several environments at least one each.
    discretizer : transformer or None, default=None
        Makes states of observations, e.g. ``KBinsDiscretizer(encode="ordinal")``: equal rows that it returns are one
        state. A clone of it is fitted on the log, or on 1000 observations of random play and the corners of the space.
        None takes each distinct row of a log for a state; if hardly any comes twice, rewards teach little, and `fit`
        warns of it.
        :class:`~skml.reinforcement.TileCoding` is taken as `feature_map`.
    feature_map : transformer or None, default=None
        Makes features of observations; values are then sums of weights, one for each feature and action, and a step
        moves a value by `learning_rate` of its error whatever the features' size. On a log, equal rows of features
        are one state.
    tol : float, default=1e-6
        The sweeps over a log with rewards end when no value moves by more.
    random_state : int, RandomState instance or None, default=None
        The source of chance; an int makes training repeatable.
    warm_start : bool, default=False
        Whether `fit` goes on from what the last fit learned, until `max_steps` or `max_episodes` in all.

    Attributes
    ----------
    action_values_ : ndarray of shape (n_states, n_actions)
        Q(s, a), float64; with `double` the mean of the two tables. Not there with features.
    visit_counts_ : ndarray of shape (n_states, n_actions)
        How often each action was taken; of a log the sum of weights; with features, of shape (n_features, n_actions).
    policy_ : ndarray of shape (n_states,)
        The index in ``classes_`` of the best action of each state, among those that were ever tried in it.
    coef_ : ndarray of shape (n_actions, n_features)
        Weights of features; only with `feature_map` or tiles.
    history_ : dict of str to list
        For each episode its "return" (undiscounted), "length" and "td_error", the mean absolute error of its targets.
        On a log, "td_error" of each sweep.
    n_steps_ : int
        Steps taken in environments, or sweeps over a log.
    classes_ : ndarray of shape (n_actions,)
        The actions.
    observation_space_, action_space_ : Discrete, MultiDiscrete or Box, or None
        Of the environments; None after a log.
    n_features_in_ : int
        Numbers of an observation.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features of a log, where X had names that are all strings.

    See Also
    --------
    SARSA : Learns the values of what it does, exploration included.
    ValueIteration : Plans on a known model.

    Notes
    -----
    After a step from s by action a to s', with reward r,

    Q(s, a) <- Q(s, a) + rate (r + discount max Q(s', .) - Q(s, a)),

    where the maximum is 0 if the episode terminated in s', and not if it was only cut off there. With `trace_decay`
    traces are cut where an action wasn't the best (Watkins); with `n_steps` returns keep what exploration did.

    On a log with rewards each sweep sets every value to the weighted mean of its targets, and a next state is worth the
    best action among those that the log shows there: nothing is known of others. `predict` keeps to those too. Without
    rewards Q(s, a) is the weighted share of a among the actions taken in s, and `predict_proba` returns it.

    References
    ----------
    .. [1] C. J. C. H. Watkins and P. Dayan (1992). Q-learning. Machine Learning 8.
    .. [2] H. van Hasselt (2010). Double Q-learning. NeurIPS.
    .. [3] M. J. Wainwright (2019). Stochastic approximation with cone-contractive operators. arXiv:1905.06265.
    .. [4] R. S. Sutton and A. G. Barto (2018). Reinforcement Learning: An Introduction. MIT Press, chapters 6, 7, 12.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.reinforcement import FiniteMDP, QLearning
    >>> left, right = np.eye(5, k=-1), np.eye(5, k=1)
    >>> left[0, 0], left[4], right[4] = 1, np.eye(5)[4], np.eye(5)[4]
    >>> corridor = FiniteMDP([left, right], rewards=[-1, -1, -1, -1, 0], start=0)
    >>> agent = QLearning(max_steps=5000, max_episode_steps=100, random_state=0).fit(corridor)
    >>> agent.predict([0, 1, 2, 3])
    array([1, 1, 1, 1])
    >>> agent.score(corridor)
    -4.0
    """

    _parameter_constraints = {**CONSTRAINTS, "double": ["boolean"]}

    def __init__(
        self,
        *,
        learning_rate="rescaled",
        discount=0.99,
        exploration="epsilon-greedy",
        epsilon=(1.0, 0.05),
        temperature=1.0,
        bonus=1.0,
        initial_value=0.0,
        double=False,
        n_steps=1,
        trace_decay=0.0,
        replacing_traces=True,
        max_steps=500_000,
        max_episodes=None,
        max_episode_steps=None,
        n_envs=1,
        discretizer=None,
        feature_map=None,
        tol=1e-6,
        random_state=None,
        warm_start=False,
    ):
        self.learning_rate = learning_rate
        self.discount = discount
        self.exploration = exploration
        self.epsilon = epsilon
        self.temperature = temperature
        self.bonus = bonus
        self.initial_value = initial_value
        self.double = double
        self.n_steps = n_steps
        self.trace_decay = trace_decay
        self.replacing_traces = replacing_traces
        self.max_steps = max_steps
        self.max_episodes = max_episodes
        self.max_episode_steps = max_episode_steps
        self.n_envs = n_envs
        self.discretizer = discretizer
        self.feature_map = feature_map
        self.tol = tol
        self.random_state = random_state
        self.warm_start = warm_start

    def _rule(self):
        return rule_of(self, MAXIMUM)

    @fitting
    def partial_fit(self, X, y=None, sample_weight=None, *, reward=None, episode=None, terminated=None, classes=None):
        """Go on learning: `max_steps` more steps in environments, or more of a log.

        Parameters
        ----------
        X : environment, FiniteMDP, list of such, or array-like of shape (n_steps, n_features)
            As for `fit`. Schedules begin anew with each call; episodes are others than those before.
        y : array-like of shape (n_steps,) or None, default=None
            The actions of a log.
        sample_weight : array-like of shape (n_steps,), default=None
            Of the steps of a log.
        reward, episode, terminated : array-like of shape (n_steps,), default=None
            As for `fit`. What earlier logs said of a pair counts with the weight that they had.
        classes : array-like of shape (n_actions,), default=None
            All actions that logs will ever show; needed in the first call on a log that doesn't show them all.

        Returns
        -------
        self : object
            The updated agent.

        Raises
        ------
        ValueError
            If X is of another kind than what the agent learned from.
        """
        return go_on(self, X, y, sample_weight, LogColumns(reward, episode, terminated), classes)

    def _learn_worlds(self, worlds):
        learn_worlds(self, worlds, self._rule(), seed_of(self), taken_up(self))

    def _learn_log(self, log):
        learn_log(self, log, self._rule(), warm=self.warm_start)

    def _policy(self, observations):
        return self._model.policy(observations).astype(observations.dtype)

    def _values(self, observations):
        return self._model.values(observations).astype(observations.dtype)

    @property
    def _n_features_out(self):
        return len(self.classes_)


class SARSA(BaseAgent):
    """SARSA: action values of what is done, exploration included.

    It learns in environments, step by step and without a model of them; on environments and processes of skml that
    have finitely many states the whole loop is compiled. From a log of actions it learns as well: with rewards the
    values of what the log does, by sweeps over its steps, without any by imitation.

    Parameters
    ----------
    learning_rate : {"rescaled", "1/n"}, float, tuple of two floats, or callable, default="rescaled"
        How far a value moves towards its target. "rescaled" is ``1 / (1 + (1 - discount) (n - 1))`` at the n-th visit
        of a pair [3]_ (with discount 1, where that never averages, ``1 / (1 + 0.2 (n - 1))``), which averages noise out
        and yet forgets what early targets had wrong; "1/n" is the plain mean,
        which forgets slowly. A number is constant; of two, the rate goes from the first to the second in a straight
        line; a function of (step, total) gives the rate. Noisy targets (`n_steps`, `trace_decay`, much exploration
        in SARSA) need small numbers.
    discount : float, default=0.99
        Of rewards, in [0, 1]. 1 stands for 1 - 1e-9, so that of ways that earn the same the shorter one is better: else
        going round before the end, where that costs nothing, would be as good as getting there.
    exploration : {"epsilon-greedy", "softmax", "ucb", "optimistic"}, default="epsilon-greedy"
        How actions are chosen while learning: at random with probability `epsilon`, else the best; with probabilities
        proportional to ``exp(Q / temperature)``; the largest ``Q + bonus sqrt(ln N(s) / N(s, a))``; or always the best,
        which explores as long as `initial_value` is above what there is to earn. Ties are broken at random.
    epsilon : float, tuple of two floats, or callable, default=(1.0, 0.05)
        Of "epsilon-greedy": a probability, or a schedule like that of `learning_rate`.
    temperature : float, tuple of two floats, or callable, default=1.0
        Of "softmax", in units of the values; or a schedule.
    bonus : float, tuple of two floats, or callable, default=1.0
        Of "ucb", in units of the values; or a schedule.
    initial_value : float, default=0.0
        Of every action before it was tried.
    expected : bool, default=False
        Whether the next state is worth the mean over the actions that exploration might take there, in place of the one
        that it took: the same values with less noise [2]_.
    n_steps : int, default=1
        Rewards that a target sums up before it relies on values: G = r + discount r' + ... + discount^n V.
    trace_decay : float, default=0.0
        Lambda, in [0, 1]: above 0 every step teaches the pairs before it as well, in proportion to traces that fade by
        ``discount * trace_decay`` a step; in place of `n_steps`.
    replacing_traces : bool, default=True
        Whether a visit sets a trace to 1, else adds 1 to it.
    max_steps : int, default=500_000
        Steps in environments in all, rounded up to whole steps of all copies; on a log, the most sweeps over it.
    max_episodes : int or None, default=None
        Episodes in all, if they are over before `max_steps` is reached.
    max_episode_steps : int or None, default=None
        After so many steps an episode is cut off; None leaves that to the environment.
    n_envs : int, default=1
        Copies that act in lockstep and learn into the same values; of several environments at least one each.
    discretizer : transformer or None, default=None
        Makes states of observations, e.g. ``KBinsDiscretizer(encode="ordinal")``: equal rows that it returns are one
        state. A clone of it is fitted on the log, or on 1000 observations of random play and the corners of the space.
        None takes each distinct row of a log for a state; if hardly any comes twice, rewards teach little, and `fit`
        warns of it.
        :class:`~skml.reinforcement.TileCoding` is taken as `feature_map`.
    feature_map : transformer or None, default=None
        Makes features of observations; values are then sums of weights, one for each feature and action, and a step
        moves a value by `learning_rate` of its error whatever the features' size. On a log, equal rows of features
        are one state.
    tol : float, default=1e-6
        The sweeps over a log with rewards end when no value moves by more.
    random_state : int, RandomState instance or None, default=None
        The source of chance; an int makes training repeatable.
    warm_start : bool, default=False
        Whether `fit` goes on from what the last fit learned, until `max_steps` or `max_episodes` in all.

    Attributes
    ----------
    action_values_ : ndarray of shape (n_states, n_actions)
        Q(s, a), float64. Not there with features.
    visit_counts_ : ndarray of shape (n_states, n_actions)
        How often each action was taken; of a log the sum of weights; with features, of shape (n_features, n_actions).
    policy_ : ndarray of shape (n_states,)
        The index in ``classes_`` of the best action of each state, among those that were ever tried in it.
    coef_ : ndarray of shape (n_actions, n_features)
        Weights of features; only with `feature_map` or tiles.
    history_ : dict of str to list
        For each episode its "return" (undiscounted), "length" and "td_error", the mean absolute error of its targets.
        On a log, "td_error" of each sweep.
    n_steps_ : int
        Steps taken in environments, or sweeps over a log.
    classes_ : ndarray of shape (n_actions,)
        The actions.
    observation_space_, action_space_ : Discrete, MultiDiscrete or Box, or None
        Of the environments; None after a log.
    n_features_in_ : int
        Numbers of an observation.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features of a log, where X had names that are all strings.

    See Also
    --------
    QLearning : Learns the values of the best actions while it does others.
    PolicyIteration : Plans on a known model.

    Notes
    -----
    After a step from s by action a to s', with reward r, and with a' the action that will be taken there,

    Q(s, a) <- Q(s, a) + rate (r + discount Q(s', a') - Q(s, a)),

    where Q(s', a') is 0 if the episode terminated in s', and not if it was only cut off there.

    On a log with rewards each sweep sets every value to the weighted mean of its targets, a' being the action that
    the log took next; the last step of an episode that didn't terminate teaches nothing. Without rewards Q(s, a) is
    the weighted share of a among the actions taken in s, and `predict_proba` returns it.

    References
    ----------
    .. [1] G. A. Rummery and M. Niranjan (1994). On-line Q-learning using connectionist systems. Cambridge.
    .. [2] H. van Seijen et al. (2009). A theoretical and empirical analysis of Expected Sarsa. ADPRL.
    .. [3] M. J. Wainwright (2019). Stochastic approximation with cone-contractive operators. arXiv:1905.06265.
    .. [4] R. S. Sutton and A. G. Barto (2018). Reinforcement Learning: An Introduction. MIT Press, chapters 6, 7, 12.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.reinforcement import SARSA, FiniteMDP
    >>> left, right = np.eye(5, k=-1), np.eye(5, k=1)
    >>> left[0, 0], left[4], right[4] = 1, np.eye(5)[4], np.eye(5)[4]
    >>> corridor = FiniteMDP([left, right], rewards=[-1, -1, -1, -1, 0], start=0)
    >>> agent = SARSA(trace_decay=0.8, max_steps=5000, max_episode_steps=100, random_state=0).fit(corridor)
    >>> agent.predict([0, 1, 2, 3])
    array([1, 1, 1, 1])
    >>> agent.score(corridor)
    -4.0
    """

    _parameter_constraints = {**CONSTRAINTS, "expected": ["boolean"]}

    def __init__(
        self,
        *,
        learning_rate="rescaled",
        discount=0.99,
        exploration="epsilon-greedy",
        epsilon=(1.0, 0.05),
        temperature=1.0,
        bonus=1.0,
        initial_value=0.0,
        expected=False,
        n_steps=1,
        trace_decay=0.0,
        replacing_traces=True,
        max_steps=500_000,
        max_episodes=None,
        max_episode_steps=None,
        n_envs=1,
        discretizer=None,
        feature_map=None,
        tol=1e-6,
        random_state=None,
        warm_start=False,
    ):
        self.learning_rate = learning_rate
        self.discount = discount
        self.exploration = exploration
        self.epsilon = epsilon
        self.temperature = temperature
        self.bonus = bonus
        self.initial_value = initial_value
        self.expected = expected
        self.n_steps = n_steps
        self.trace_decay = trace_decay
        self.replacing_traces = replacing_traces
        self.max_steps = max_steps
        self.max_episodes = max_episodes
        self.max_episode_steps = max_episode_steps
        self.n_envs = n_envs
        self.discretizer = discretizer
        self.feature_map = feature_map
        self.tol = tol
        self.random_state = random_state
        self.warm_start = warm_start

    def _rule(self):
        return rule_of(self, EXPECTED if self.expected else TAKEN)

    @fitting
    def partial_fit(self, X, y=None, sample_weight=None, *, reward=None, episode=None, terminated=None, classes=None):
        """Go on learning: `max_steps` more steps in environments, or more of a log.

        Parameters
        ----------
        X : environment, FiniteMDP, list of such, or array-like of shape (n_steps, n_features)
            As for `fit`. Schedules begin anew with each call; episodes are others than those before.
        y : array-like of shape (n_steps,) or None, default=None
            The actions of a log.
        sample_weight : array-like of shape (n_steps,), default=None
            Of the steps of a log.
        reward, episode, terminated : array-like of shape (n_steps,), default=None
            As for `fit`. What earlier logs said of a pair counts with the weight that they had.
        classes : array-like of shape (n_actions,), default=None
            All actions that logs will ever show; needed in the first call on a log that doesn't show them all.

        Returns
        -------
        self : object
            The updated agent.

        Raises
        ------
        ValueError
            If X is of another kind than what the agent learned from.
        """
        return go_on(self, X, y, sample_weight, LogColumns(reward, episode, terminated), classes)

    def _learn_worlds(self, worlds):
        learn_worlds(self, worlds, self._rule(), seed_of(self), taken_up(self))

    def _learn_log(self, log):
        learn_log(self, log, self._rule(), warm=self.warm_start)

    def _policy(self, observations):
        return self._model.policy(observations).astype(observations.dtype)

    def _values(self, observations):
        return self._model.values(observations).astype(observations.dtype)

    @property
    def _n_features_out(self):
        return len(self.classes_)
