"""Agents that follow the gradient of what their policy earns: REINFORCE and actor-critics."""

import sys
from dataclasses import replace
from numbers import Integral, Real

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skml._labels import labels_of
from skml._sklearn import Interval, StrOptions
from skml.base import fitting
from skml.reinforcement.base import BaseAgent
from skml.reinforcement.logged import LogColumns
from skml.reinforcement.policy_fitting import (
    CONSTRAINTS,
    chosen_of,
    features_of,
    greedy_of,
    has_values,
    learn_from_log,
    learn_in_worlds,
    plan_of,
    policy_of,
    values_of,
)
from skml.reinforcement.policy_updates import advantage_steps, episode_steps
from skml.reinforcement.worlds import spaces_of, worlds_of

# Methods that the three agents share; a class has one base of ours, and that is BaseAgent.


@fitting
def partial_fit(self, X, y=None, classes=None, sample_weight=None, *, reward=None, episode=None, terminated=None):
    """Go on learning: for one iteration in environments, or one step along the gradient of all rows of a log.

    Parameters
    ----------
    X : environment, FiniteMDP, list of such, or array-like of shape (n_steps, n_features)
        As for :meth:`fit`. What the columns of a log are scaled by, the first call decides.
    y : array-like of shape (n_steps,) or None, default=None
        The actions of a log.
    classes : array-like of shape (n_actions,), default=None
        All actions that there will be; needed in the first call with a log.
    sample_weight : array-like of shape (n_steps,), default=None
        Of the steps of a log.
    reward, episode, terminated : array-like of shape (n_steps,), default=None
        As for :meth:`fit`.

    Returns
    -------
    self : object
        The agent.

    Raises
    ------
    ValueError
        If X or y is unusable, or `classes` are missing in the first call or other than in it.
    """
    goes_on, worlds = hasattr(self, "learnt_"), worlds_of(X)
    if worlds is not None:
        return _go_on_in_worlds(self, worlds, goes_on)
    columns = LogColumns(reward, episode, terminated)
    if not goes_on and classes is None:
        raise ValueError("partial_fit needs classes in its first call with a log: all actions that there will be.")
    if goes_on and classes is not None and not np.array_equal(np.unique(classes), self.classes_):
        raise ValueError(f"classes={classes} are not the actions of the first call, {self.classes_.tolist()}.")
    known = self.classes_ if goes_on else np.unique(classes)
    log = self._log(X, y, sample_weight, columns, reset=not goes_on, classes=known)
    learn_from_log(self, log, self._plan(), goes_on, 1)
    return self


def _go_on_in_worlds(agent, worlds, goes_on):
    if not goes_on:
        agent._enter(*spaces_of(worlds))
    else:
        agent._known_worlds(worlds)
    learn_in_worlds(agent, worlds, replace(agent._plan(), schedule="constant", max_steps=sys.maxsize), goes_on, 1)
    return agent


def score_vector(self, X, y):
    """Return the score vectors grad ln pi(a|s), at the parameters of the policy.

    Their means, weighted with returns, are policy gradients.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Observations.
    y : array-like of shape (n_samples,) or (n_samples, n_numbers)
        The actions.

    Returns
    -------
    scores : ndarray of shape (n_samples, n_parameters)
        In the order of ``learnt_.flat``, whose first numbers are the policy's.
    """
    check_is_fitted(self)
    observations, learnt = self._observations(X), self.learnt_
    if hasattr(self, "classes_"):
        actions = labels_of(y, observations, None, type(self).__name__, self.classes_).y
    else:
        actions = learnt.actor.head.unplayed(np.asarray(y, dtype=np.float64).reshape(len(observations), -1))
    return learnt.actor.score(learnt.actor.features(observations), actions, learnt.flat)


def _learn_worlds(self, worlds):
    learn_in_worlds(self, worlds, self._plan(), self.warm_start and hasattr(self, "learnt_"))


def _learn_log(self, log):
    learn_from_log(self, log, self._plan(), self.warm_start and hasattr(self, "learnt_"))


def _choose(self, observations, allowed, generator):
    if hasattr(self, "classes_"):
        return BaseAgent._choose(self, observations, allowed, generator)
    return chosen_of(self, observations, generator)


def _n_features_out(self):
    sizes = self.learnt_.actor.policy.sizes
    return sizes[-2] if len(sizes) > 2 else sizes[-1]


class Reinforce(BaseAgent):
    """REINFORCE: learns a policy from whole episodes, with or without a baseline.

    Each update plays an episode in each of `n_envs` copies and follows g = sum_t (Q_t - b_t) grad ln pi(a_t|s_t), where
    Q_t is the discounted return from t on and b_t a baseline that knows nothing of a_t [1]_.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(64, 64)
        Sizes of the hidden layers of the policy and of the critic; () makes the policy softmax-linear.
    activation : {"tanh", "relu", "leaky_relu", "sigmoid", "identity"}, default="tanh"
        After each hidden layer.
    baseline : {"value", "mean"} or None, default="value"
        What returns are compared with: "value" a network that learns them from states; "mean" the mean return, from the
        same step on, of the other episodes of the update.
    learning_rate_init : float, default=0.005
        The rate of Adam (Kingma & Ba 2015).
    learning_rate : {"constant", "step", "cosine", "one_cycle"} or callable, default="cosine"
        How the rate goes on in environments, see :func:`skml.network.schedule`; from logs it is constant.
    discount : float, default=0.99
        Of rewards.
    entropy_weight : float, default=0.0
        What times the policy's entropy is added to what is maximised, in the unit of rewards: it keeps the policy off
        the simplex' boundary.
    gradient_clip : float or None, default=0.5
        The largest norm of a gradient.
    n_envs : int, default=16
        Copies of the environment that go in lockstep; of several environments at least one each.
    max_steps : int, default=200_000
        Steps of environments, in all; the last update is finished, which may take more.
    max_episode_steps : int or None, default=None
        After how many steps an episode is cut off; None leaves that to the environment.
    normalize_observations : bool, default=False
        Whether observations that are numbers are centred and scaled by what was seen so far. (Those of a log always
        are.)
    normalize_rewards : bool, default=False
        Whether rewards are divided by the deviation of what was earned so far, earlier rewards discounted (or by a
        tenth of its mean, if that is more). Values are told in the unit of rewards all the same.
    max_iter : int, default=200
        Iterations over a log.
    tol : float, default=1e-4
        Without rewards, learning from a log ends when ten iterations improve the loss by less.
    behavior : estimator or None, default=None
        Whose ``predict_proba`` says how a log with rewards was written; None estimates it by maximum likelihood.
    max_ratio : float, default=10.0
        Where ratios of probabilities are cut off as such a log is weighted.
    random_state : int, RandomState instance or None, default=None
        Draws parameters, actions, and what environments draw.
    n_jobs : int or None, default=None
        Threads to use for logs and predictions; None means as many as OpenMP may. No result depends on it.
    warm_start : bool, default=False
        Whether `fit` goes on from where the last one stopped, up to `max_steps` or `max_iter` in all (from a log with
        rewards: for `max_iter` more). Episodes begin anew.

    Attributes
    ----------
    classes_ : ndarray of shape (n_actions,)
        The actions, where there are some to choose among.
    history_ : dict of str to list
        Per iteration (an update), in environments "return" (the mean of the episodes that ended; the last one known
        where none did), "n_episodes", "gradient_snr" (see the notes), "entropy" and "boundary_distance" (the least
        probability of an action) of the policy, averaged over states, and but for baseline=None "explained_variance" of
        the returns by the baseline. From a log without rewards "loss" (the negative mean log-likelihood), from one with
        rewards "objective" and "effective_share" (of the rows, by their weights).
    learnt_ : object
        The networks ``learnt_.actor``, their numbers ``learnt_.flat``, and what is needed to go on.
    n_iter_ : int
        Iterations.
    n_steps_ : int
        Steps of environments taken.
    action_space_ : Discrete, Box or None
        Of the environments; None where the agent has learnt from a log.
    observation_space_ : Discrete, MultiDiscrete, Box or None
        Of the environments.
    n_features_in_ : int
        Numbers in an observation.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of a log's features, where X had names that are all strings.

    See Also
    --------
    ActorCritic : Learns from each step.
    AdvantageActorCritic : Learns from the returns of some steps.

    Notes
    -----
    **Time limits.** An episode that is truncated is not over: with the baseline "value" what its last state is worth
    stands for the rest, else the rest counts as nothing.

    **Bias.** With discount=1 the gradient is unbiased where episodes terminate. With a discount below 1 it is that of
    no objective (Nota & Thomas 2020), as later steps count as much as earlier ones; that is what is used everywhere.

    **Actions** that are floats (a Box) are drawn from normal distributions around what the network says, whose
    deviations are learnt as well; `predict` returns the means.

    **What goes wrong** shows in ``history_``. "gradient_snr" is ``|g|^2 / (s^2 / n)`` of the mean g of n gradients (of
    episodes) whose numbers have variances that add up to s^2: mere noise gives 1. Where returns have not risen, a
    ConvergenceWarning names what the matter was, cancellation or a policy stuck at the boundary of the simplex, and
    what helps.

    **Logs.** Without rewards every return is 1: the policy gradient is maximum likelihood, over all rows at a time, so
    that neither their order nor weights written as copies matter. With rewards the policy starts at an estimate of the
    one that wrote the log, b, and follows E[rho A grad ln pi(a|s)] over the rows, with the ratio rho = pi(a|s) /
    b(a|s), cut off at `max_ratio`, and A is the return, less the baseline [3]_: the gradient of what one step of pi is
    worth, if b goes on after it.

    **If an environment raises**, what the last finished iteration had learnt is kept, with a warning.

    References
    ----------
    .. [1] R. J. Williams (1992). Simple statistical gradient-following algorithms for connectionist reinforcement
       learning. Machine Learning 8, 229-256.
    .. [2] C. Nota and P. S. Thomas (2020). Is the policy gradient a gradient? AAMAS.
    .. [3] T. Degris, M. White and R. S. Sutton (2012). Off-policy actor-critic. ICML.

    Examples
    --------
    >>> from skml.reinforcement import CartPole, Reinforce
    >>> agent = Reinforce(max_steps=30_000, random_state=0).fit(CartPole())
    >>> agent.score(CartPole(), n_episodes=20) > 60
    True

    A log, imitated:

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> Reinforce(random_state=0).fit(X, y).score(X, y) > 0.9
    True
    """

    _parameter_constraints = {
        **CONSTRAINTS,
        "baseline": [StrOptions({"mean", "value"}), None],
    }

    def __init__(
        self,
        hidden_layer_sizes=(64, 64),
        *,
        activation="tanh",
        baseline="value",
        learning_rate_init=0.005,
        learning_rate="cosine",
        discount=0.99,
        entropy_weight=0.0,
        gradient_clip=0.5,
        n_envs=16,
        max_steps=200_000,
        max_episode_steps=None,
        normalize_observations=False,
        normalize_rewards=False,
        max_iter=200,
        tol=1e-4,
        behavior=None,
        max_ratio=10.0,
        random_state=None,
        n_jobs=None,
        warm_start=False,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.baseline = baseline
        self.learning_rate_init = learning_rate_init
        self.learning_rate = learning_rate
        self.discount = discount
        self.entropy_weight = entropy_weight
        self.gradient_clip = gradient_clip
        self.n_envs = n_envs
        self.max_steps = max_steps
        self.max_episode_steps = max_episode_steps
        self.normalize_observations = normalize_observations
        self.normalize_rewards = normalize_rewards
        self.max_iter = max_iter
        self.tol = tol
        self.behavior = behavior
        self.max_ratio = max_ratio
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.warm_start = warm_start

    def _plan(self):
        return plan_of(self, baseline=self.baseline, gae_lambda=1.0)

    _steps_of = staticmethod(episode_steps)
    partial_fit, score_vector = partial_fit, score_vector
    _learn_worlds, _learn_log, _choose = _learn_worlds, _learn_log, _choose
    _policy, _values, _greedy = policy_of, features_of, greedy_of
    _state_values, _has_state_values = values_of, property(has_values)
    _n_features_out = property(_n_features_out)


class ActorCritic(BaseAgent):
    """Actor-critic: learns a policy from each step, with a critic that learns from the next state's value.

    After each step of all copies the policy follows delta grad ln pi(a_t|s_t) with the error of the critic,
    delta = r_tp1 + discount V(s_tp1) - V(s_t), which the critic lowers [1]_.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(64, 64)
        Sizes of the hidden layers of the policy and of the critic; () makes the policy softmax-linear.
    activation : {"tanh", "relu", "leaky_relu", "sigmoid", "identity"}, default="tanh"
        After each hidden layer.
    critic : {"v", "q"}, default="v"
        What the critic says: V(s), or Q(s, a) of each action. With "q" the policy follows
        (Q(s, a) - V(s)) grad ln pi(a|s) with V(s) = sum_b pi(b|s) Q(s, b), and Q(s, a) learns r + discount V(s').
    value_weight : float, default=0.5
        Of the critic's squared error, beside the policy's loss.
    learning_rate_init : float, default=0.001
        The rate of Adam (Kingma & Ba 2015).
    learning_rate : {"constant", "step", "cosine", "one_cycle"} or callable, default="cosine"
        How the rate goes on in environments, see :func:`skml.network.schedule`; from logs it is constant.
    discount : float, default=0.99
        Of rewards.
    entropy_weight : float, default=0.0
        What times the policy's entropy is added to what is maximised, in the unit of rewards: it keeps the policy off
        the simplex' boundary.
    gradient_clip : float or None, default=0.5
        The largest norm of a gradient.
    n_envs : int, default=16
        Copies of the environment that go in lockstep; of several environments at least one each.
    max_steps : int, default=200_000
        Steps of environments, in all; the last update is finished, which may take more.
    max_episode_steps : int or None, default=None
        After how many steps an episode is cut off; None leaves that to the environment.
    normalize_observations : bool, default=False
        Whether observations that are numbers are centred and scaled by what was seen so far. (Those of a log always
        are.)
    normalize_rewards : bool, default=False
        Whether rewards are divided by the deviation of what was earned so far, earlier rewards discounted (or by a
        tenth of its mean, if that is more). Values are told in the unit of rewards all the same.
    max_iter : int, default=200
        Iterations over a log.
    tol : float, default=1e-4
        Without rewards, learning from a log ends when ten iterations improve the loss by less.
    behavior : estimator or None, default=None
        Whose ``predict_proba`` says how a log with rewards was written; None estimates it by maximum likelihood.
    max_ratio : float, default=10.0
        Where ratios of probabilities are cut off as such a log is weighted.
    random_state : int, RandomState instance or None, default=None
        Draws parameters, actions, and what environments draw.
    n_jobs : int or None, default=None
        Threads to use for logs and predictions; None means as many as OpenMP may. No result depends on it.
    warm_start : bool, default=False
        Whether `fit` goes on from where the last one stopped, up to `max_steps` or `max_iter` in all (from a log with
        rewards: for `max_iter` more). Episodes begin anew.

    Attributes
    ----------
    classes_ : ndarray of shape (n_actions,)
        The actions, where there are some to choose among.
    history_ : dict of str to list
        Per iteration (of 2048 steps or more), in environments "return" (the mean of the episodes that ended; the last
        one known where none did), "n_episodes", "gradient_snr" (see the notes), "entropy" and "boundary_distance" (the
        least probability of an action) of the policy, averaged over states, and "explained_variance" of what the critic
        learns by what it said. From a log without rewards "loss" (the negative mean log-likelihood), from one with
        rewards "objective" and "effective_share" (of the rows, by their weights).
    learnt_ : object
        The networks ``learnt_.actor``, their numbers ``learnt_.flat``, and what is needed to go on.
    n_iter_ : int
        Iterations.
    n_steps_ : int
        Steps of environments taken.
    action_space_ : Discrete, Box or None
        Of the environments; None where the agent has learnt from a log.
    observation_space_ : Discrete, MultiDiscrete, Box or None
        Of the environments.
    n_features_in_ : int
        Numbers in an observation.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of a log's features, where X had names that are all strings.

    See Also
    --------
    AdvantageActorCritic : Learns from the returns of some steps.
    Reinforce : Learns from whole episodes.

    Notes
    -----
    **Time limits.** A step that terminates has nothing after it; one that is truncated has the value of the
    state that it led to.

    **Actions** that are floats (a Box) are drawn from normal distributions around what the network says, whose
    deviations are learnt as well; `predict` returns the means.

    **What goes wrong** shows in ``history_``. "gradient_snr" is ``|g|^2 / (s^2 / n)`` of the mean g of n gradients (of
    updates) whose numbers have variances that add up to s^2: mere noise gives 1. Where returns have not risen, a
    ConvergenceWarning names what the matter was, cancellation or a policy stuck at the boundary of the simplex, and
    what helps.

    **Logs.** Without rewards every return is 1: the policy gradient is maximum likelihood, over all rows at a time, so
    that neither their order nor weights written as copies matter. With rewards the policy starts at an estimate of the
    one that wrote the log, b, and follows E[rho A grad ln pi(a|s)] over the rows, with the ratio rho = pi(a|s) /
    b(a|s), cut off at `max_ratio`, and A is the error of the critic, or with critic="q" Q(s, a) - V(s) [3]_: the
    gradient of what one step of pi is worth, if b goes on after it.

    **If an environment raises**, what the last finished iteration had learnt is kept, with a warning.

    References
    ----------
    .. [1] R. S. Sutton and A. G. Barto (2018). Reinforcement learning: an introduction, 2nd edition, section 13.5.
    .. [2] V. R. Konda and J. N. Tsitsiklis (2000). Actor-critic algorithms. NIPS 12.
    .. [3] T. Degris, M. White and R. S. Sutton (2012). Off-policy actor-critic. ICML.

    Examples
    --------
    >>> from skml.reinforcement import CartPole, ActorCritic
    >>> agent = ActorCritic(max_steps=60_000, random_state=0).fit(CartPole())
    >>> agent.score(CartPole(), n_episodes=20) > 30
    True

    A log, imitated:

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> ActorCritic(random_state=0).fit(X, y).score(X, y) > 0.9
    True
    """

    _parameter_constraints = {
        **CONSTRAINTS,
        "critic": [StrOptions({"v", "q"})],
        "value_weight": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        hidden_layer_sizes=(64, 64),
        *,
        activation="tanh",
        critic="v",
        value_weight=0.5,
        learning_rate_init=0.001,
        learning_rate="cosine",
        discount=0.99,
        entropy_weight=0.0,
        gradient_clip=0.5,
        n_envs=16,
        max_steps=200_000,
        max_episode_steps=None,
        normalize_observations=False,
        normalize_rewards=False,
        max_iter=200,
        tol=1e-4,
        behavior=None,
        max_ratio=10.0,
        random_state=None,
        n_jobs=None,
        warm_start=False,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.critic = critic
        self.value_weight = value_weight
        self.learning_rate_init = learning_rate_init
        self.learning_rate = learning_rate
        self.discount = discount
        self.entropy_weight = entropy_weight
        self.gradient_clip = gradient_clip
        self.n_envs = n_envs
        self.max_steps = max_steps
        self.max_episode_steps = max_episode_steps
        self.normalize_observations = normalize_observations
        self.normalize_rewards = normalize_rewards
        self.max_iter = max_iter
        self.tol = tol
        self.behavior = behavior
        self.max_ratio = max_ratio
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.warm_start = warm_start

    def _plan(self):
        return plan_of(self, critic=self.critic, value_weight=self.value_weight, n_steps=1, gae_lambda=0.0)

    _steps_of = staticmethod(advantage_steps)
    partial_fit, score_vector = partial_fit, score_vector
    _learn_worlds, _learn_log, _choose = _learn_worlds, _learn_log, _choose
    _policy, _values, _greedy = policy_of, features_of, greedy_of
    _state_values, _has_state_values = values_of, property(has_values)
    _n_features_out = property(_n_features_out)


class AdvantageActorCritic(BaseAgent):
    """Advantage actor-critic: learns a policy from the returns of some steps of many copies of an environment.

    After `n_steps` steps of all copies in lockstep, policy and critic take one step along the gradient of the mean of
    -A ln pi(a|s) - entropy_weight H(pi(.|s)) + value_weight (G - V(s))^2, with the n-step return G and the advantage
    A = G - V(s) [1]_, or a mean of such over fewer and more steps [2]_.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(64, 64)
        Sizes of the hidden layers of the policy and of the critic; () makes the policy softmax-linear.
    activation : {"tanh", "relu", "leaky_relu", "sigmoid", "identity"}, default="tanh"
        After each hidden layer.
    n_steps : int, default=5
        Steps of each copy between updates, which returns add up.
    gae_lambda : float, default=1.0
        How advantages weigh shorter returns [2]_: 1 takes the longest, 0 the error of one step.
    value_weight : float, default=0.5
        Of the critic's squared error, beside the policy's loss.
    learning_rate_init : float, default=0.001
        The rate of Adam (Kingma & Ba 2015).
    learning_rate : {"constant", "step", "cosine", "one_cycle"} or callable, default="cosine"
        How the rate goes on in environments, see :func:`skml.network.schedule`; from logs it is constant.
    discount : float, default=0.98
        Of rewards: what comes 50 steps later counts a third. Where it matters more, take more.
    entropy_weight : float, default=0.0
        What times the policy's entropy is added to what is maximised, in the unit of rewards: it keeps the policy off
        the simplex' boundary.
    gradient_clip : float or None, default=0.5
        The largest norm of a gradient.
    n_envs : int, default=8
        Copies of the environment that go in lockstep; of several environments at least one each.
    max_steps : int, default=400_000
        Steps of environments, in all; the last update is finished, which may take more.
    max_episode_steps : int or None, default=None
        After how many steps an episode is cut off; None leaves that to the environment.
    normalize_observations : bool, default=False
        Whether observations that are numbers are centred and scaled by what was seen so far. (Those of a log always
        are.)
    normalize_rewards : bool, default=False
        Whether rewards are divided by the deviation of what was earned so far, earlier rewards discounted (or by a
        tenth of its mean, if that is more). Values are told in the unit of rewards all the same.
    max_iter : int, default=200
        Iterations over a log.
    tol : float, default=1e-4
        Without rewards, learning from a log ends when ten iterations improve the loss by less.
    behavior : estimator or None, default=None
        Whose ``predict_proba`` says how a log with rewards was written; None estimates it by maximum likelihood.
    max_ratio : float, default=10.0
        Where ratios of probabilities are cut off as such a log is weighted.
    random_state : int, RandomState instance or None, default=None
        Draws parameters, actions, and what environments draw.
    n_jobs : int or None, default=None
        Threads to use for logs and predictions; None means as many as OpenMP may. No result depends on it.
    warm_start : bool, default=False
        Whether `fit` goes on from where the last one stopped, up to `max_steps` or `max_iter` in all (from a log with
        rewards: for `max_iter` more). Episodes begin anew.

    Attributes
    ----------
    classes_ : ndarray of shape (n_actions,)
        The actions, where there are some to choose among.
    history_ : dict of str to list
        Per iteration (of 2048 steps or more), in environments "return" (the mean of the episodes that ended; the last
        one known where none did), "n_episodes", "gradient_snr" (see the notes), "entropy" and "boundary_distance" (the
        least probability of an action) of the policy, averaged over states, and "explained_variance" of what the critic
        learns by what it said. From a log without rewards "loss" (the negative mean log-likelihood), from one with
        rewards "objective" and "effective_share" (of the rows, by their weights).
    learnt_ : object
        The networks ``learnt_.actor``, their numbers ``learnt_.flat``, and what is needed to go on.
    n_iter_ : int
        Iterations.
    n_steps_ : int
        Steps of environments taken.
    action_space_ : Discrete, Box or None
        Of the environments; None where the agent has learnt from a log.
    observation_space_ : Discrete, MultiDiscrete, Box or None
        Of the environments.
    n_features_in_ : int
        Numbers in an observation.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of a log's features, where X had names that are all strings.

    See Also
    --------
    ActorCritic : Learns from each step.
    Reinforce : Learns from whole episodes.

    Notes
    -----
    **Time limits.** A step that terminates has nothing after it; one that is truncated has the value of the
    state that it led to.

    **Speed.** The steps of skml's own control tasks and finite worlds between two updates are played by a kernel; of
    other environments it computes the policy.

    **Actions** that are floats (a Box) are drawn from normal distributions around what the network says, whose
    deviations are learnt as well; `predict` returns the means.

    **What goes wrong** shows in ``history_``. "gradient_snr" is ``|g|^2 / (s^2 / n)`` of the mean g of n gradients (of
    updates) whose numbers have variances that add up to s^2: mere noise gives 1. Where returns have not risen, a
    ConvergenceWarning names what the matter was, cancellation or a policy stuck at the boundary of the simplex, and
    what helps.

    **Logs.** Without rewards every return is 1: the policy gradient is maximum likelihood, over all rows at a time, so
    that neither their order nor weights written as copies matter. With rewards the policy starts at an estimate of the
    one that wrote the log, b, and follows E[rho A grad ln pi(a|s)] over the rows, with the ratio rho = pi(a|s) /
    b(a|s), cut off at `max_ratio`, and A is the advantage, over as many steps as `gae_lambda` reaches [3]_: the
    gradient of what one step of pi is worth, if b goes on after it.

    **If an environment raises**, what the last finished iteration had learnt is kept, with a warning.

    References
    ----------
    .. [1] V. Mnih et al. (2016). Asynchronous methods for deep reinforcement learning. ICML.
    .. [2] J. Schulman, P. Moritz, S. Levine, M. Jordan and P. Abbeel (2016). High-dimensional continuous control using
       generalized advantage estimation. ICLR.
    .. [3] T. Degris, M. White and R. S. Sutton (2012). Off-policy actor-critic. ICML.

    Examples
    --------
    >>> from skml.reinforcement import CartPole, AdvantageActorCritic
    >>> agent = AdvantageActorCritic(max_steps=60_000, random_state=0).fit(CartPole())
    >>> agent.score(CartPole(), n_episodes=20) > 60
    True

    A log, imitated:

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> AdvantageActorCritic(random_state=0).fit(X, y).score(X, y) > 0.9
    True
    """

    _parameter_constraints = {
        **CONSTRAINTS,
        "n_steps": [Interval(Integral, 1, None, closed="left")],
        "gae_lambda": [Interval(Real, 0, 1, closed="both")],
        "value_weight": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        hidden_layer_sizes=(64, 64),
        *,
        activation="tanh",
        n_steps=5,
        gae_lambda=1.0,
        value_weight=0.5,
        learning_rate_init=0.001,
        learning_rate="cosine",
        discount=0.98,
        entropy_weight=0.0,
        gradient_clip=0.5,
        n_envs=8,
        max_steps=400_000,
        max_episode_steps=None,
        normalize_observations=False,
        normalize_rewards=False,
        max_iter=200,
        tol=1e-4,
        behavior=None,
        max_ratio=10.0,
        random_state=None,
        n_jobs=None,
        warm_start=False,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.n_steps = n_steps
        self.gae_lambda = gae_lambda
        self.value_weight = value_weight
        self.learning_rate_init = learning_rate_init
        self.learning_rate = learning_rate
        self.discount = discount
        self.entropy_weight = entropy_weight
        self.gradient_clip = gradient_clip
        self.n_envs = n_envs
        self.max_steps = max_steps
        self.max_episode_steps = max_episode_steps
        self.normalize_observations = normalize_observations
        self.normalize_rewards = normalize_rewards
        self.max_iter = max_iter
        self.tol = tol
        self.behavior = behavior
        self.max_ratio = max_ratio
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.warm_start = warm_start

    def _plan(self):
        return plan_of(self, value_weight=self.value_weight, n_steps=self.n_steps, gae_lambda=self.gae_lambda)

    _steps_of = staticmethod(advantage_steps)
    partial_fit, score_vector = partial_fit, score_vector
    _learn_worlds, _learn_log, _choose = _learn_worlds, _learn_log, _choose
    _policy, _values, _greedy = policy_of, features_of, greedy_of
    _state_values, _has_state_values = values_of, property(has_values)
    _n_features_out = property(_n_features_out)
