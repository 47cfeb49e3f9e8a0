"""Planners: optimal policies of decision processes whose model is known, or estimated from a log."""

from numbers import Integral, Real

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skml._kernels import n_threads
from skml._sklearn import HasMethods, Interval, StrOptions
from skml.base import fit_task, require_memory, run_steps, warn_caller
from skml.reinforcement import improvement, sweeping
from skml.reinforcement.base import BaseAgent
from skml.reinforcement.bellman import model_of, pair_values, rounding, solution
from skml.reinforcement.chains import reach
from skml.reinforcement.endings import ending_pairs
from skml.reinforcement.models import DISCOUNT, model_of_log, model_of_worlds
from skml.reinforcement.states import warn_of_passing_states

__all__ = ["PolicyIteration", "ValueIteration"]

TABLES = ("action_values_", "horizon_value_")  # which are of the type of the observations


class ValueIteration(BaseAgent):
    """The optimal policy of a known decision process, by sweeps over its states, with certified bounds.

    Plans on a :class:`FiniteMDP`, on an environment that shows its model (a table ``P`` as in Gymnasium, or ``mdp``),
    on the mean of a list of such, or on the model that a log makes likely. Tables stay sparse: a sweep takes time in
    proportion to the outcomes with a probability, at most n_actions * n_states ** 2. It runs on the threads that
    OpenMP allows, and gives the same bits on any number.

    Parameters
    ----------
    discount : float or None, default=None
        In [0, 1]; None takes that of the process, 0.99 where it has none. A log that is imitated has none to speak of.
    algorithm : {"auto", "synchronous", "gauss-seidel", "prioritized", "modified"}, default="auto"
        How values come near the optimum:

        - "synchronous": each sweep reads the values of the one before [1]_; where no episode ends, values move to the
          middle of their bounds, which takes far fewer sweeps [2]_.
        - "gauss-seidel": new values are used at once, and every second sweep goes backward. (Beyond 32,768 states, at
          once within blocks of so many, whatever the number of threads.)
        - "prioritized": always the state of the largest possible error [3]_.
        - "modified": some cheap sweeps over the policy at hand between those over all actions [4]_.
        - "auto": "modified", or "gauss-seidel" with discount 1.
    horizon : int or None, default=None
        Steps to plan for; None is without end. With a horizon, the discount may be 1 although episodes don't end, the
        best action depends on the time, and `predict` gives the first one.
    n_evaluations : int, default=100
        The most sweeps over a policy before the next sweep over all actions, with algorithm="modified".
    tol : float, default=1e-8
        The largest Bellman residual, ``|T v - v|``, at the end. Values are then off by at most
        ``tol * discount / (1 - discount)``; ``value_upper_ - value_lower_`` tells.
    max_iter : int, default=100_000
        The most iterations.
    discretizer : transformer or None, default=None
        Makes states of the observations of a log, e.g. ``KBinsDiscretizer(encode="ordinal")``; None takes each
        distinct row for a state, and an unseen row for the nearest; if hardly any comes twice, a log with rewards
        teaches little, and `fit` warns of it.

    Attributes
    ----------
    value_ : ndarray of shape (n_states,), float64
        The optimal values; with a horizon those of the whole of it.
    value_lower_, value_upper_ : ndarray of shape (n_states,), float64
        The true values lie between them, rounding included. Infinite with discount 1, unless every policy ends.
    action_values_ : ndarray of shape (n_states, n_actions)
        Of the best way on after each action; float32 of a log of such. -inf for actions that a state doesn't allow, or
        that a log has never tried in it; 0 in terminal states.
    policy_ : ndarray of shape (n_states,)
        The best action of each state, among `classes_`; of equals the first, with discount 1 one that leads to an end.
    horizon_value_ : ndarray of shape (horizon + 1, n_states)
        Only with a horizon: the values at each time.
    horizon_policy_ : ndarray of shape (horizon, n_states)
        Only with a horizon: the best actions at each time.
    classes_ : ndarray of shape (n_actions,)
        The actions.
    states_ : NumberedStates or KnownStates
        Finds the state of an observation.
    observation_space_, action_space_ : Discrete or None
        Of the environments; None after a log.
    n_iter_ : int
        Iterations done: sweeps, rounds of n_states backups, or improvements of the policy.
    history_ : dict of list
        "residual" after each iteration.
    n_features_in_ : int
        Numbers in an observation.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of columns of a log, if it has such.

    Raises
    ------
    ValueError
        In `fit`, with discount 1, if no actions lead to an end, or if going round in circles proves to pay.

    See Also
    --------
    PolicyIteration : Solves for the values of each policy.
    FiniteMDP : What is planned on.

    References
    ----------
    .. [1] R. Bellman (1957). Dynamic Programming. Princeton University Press.
    .. [2] J. MacQueen (1966). A modified dynamic programming method for Markovian decision problems. J. Math. Anal.
           Appl. 14.
    .. [3] A. W. Moore and C. G. Atkeson (1993). Prioritized sweeping. Machine Learning 13.
    .. [4] M. L. Puterman and M. C. Shin (1978). Modified policy iteration algorithms for discounted Markov decision
           problems. Management Science 24.

    Examples
    --------
    >>> import numpy as np
    >>> from skml.reinforcement import FiniteMDP, ValueIteration
    >>> stay, go = [[1, 0], [0, 1]], [[0.5, 0.5], [0, 1]]
    >>> mdp = FiniteMDP([stay, go], rewards=[[1, 2], [0, 0]], discount=0.9, terminal=[1])
    >>> planner = ValueIteration().fit(mdp)
    >>> planner.predict([0]), planner.value_.round(6)
    (array([0]), array([10.,  0.]))
    >>> planner.transform([0]).round(6)
    array([[10. ,  6.5]])
    """

    _parameter_constraints = {
        "discount": [Interval(Real, 0, 1, closed="both"), None],
        "algorithm": [StrOptions({"auto", "synchronous", "gauss-seidel", "prioritized", "modified"})],
        "horizon": [Interval(Integral, 1, None, closed="left"), None],
        "n_evaluations": [Interval(Integral, 0, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "discretizer": [HasMethods(["fit", "transform"]), None],
    }

    def __init__(
        self,
        discount=None,
        *,
        algorithm="auto",
        horizon=None,
        n_evaluations=100,
        tol=1e-8,
        max_iter=100_000,
        discretizer=None,
    ):
        self.discount = discount
        self.algorithm = algorithm
        self.horizon = horizon
        self.n_evaluations = n_evaluations
        self.tol = tol
        self.max_iter = max_iter
        self.discretizer = discretizer

    def _learn_worlds(self, worlds):
        _plan_worlds(self, worlds)

    def _learn_log(self, log):
        _plan_log(self, log)

    def _values(self, observations):
        return _action_values(self, observations)

    def _policy(self, observations):
        return _policy(self, observations)

    @property
    def _n_features_out(self):
        return len(self.classes_)

    def _iterations(self, mdp, model):
        """Return the steps of the chosen algorithm, and what makes fitted attributes of a state of them."""
        if self.horizon is not None:
            require_memory(12 * self.horizon * mdp.n_states, "The values and actions at each time")
            return sweeping.backward_induction(model, self.horizon), _time_attributes
        ending = sweeping.Ending(self.tol, self.max_iter, self.n_evaluations)
        algorithm, v = self.algorithm, np.zeros(mdp.n_states + 1)
        if algorithm == "auto":
            algorithm = "modified" if model.discount < 1 else "gauss-seidel"
        if algorithm == "prioritized":
            return sweeping.prioritized(model, ending, v, reach(mdp).T.tocsr()), _attributes
        steps = {
            "synchronous": sweeping.synchronous,
            "gauss-seidel": sweeping.gauss_seidel,
            "modified": sweeping.modified,
        }
        return steps[algorithm](model, ending, v), _attributes


class PolicyIteration(BaseAgent):
    """The optimal policy of a known decision process: solve for the values of a policy, improve it, and again.

    Takes few iterations, each of which solves a linear system: dense in O(n_states ** 3) for few states, sparse by
    elimination, or by sweeps, whichever the number of states suggests. Plans on what :class:`ValueIteration` does.

    Parameters
    ----------
    discount : float or None, default=None
        In [0, 1]; None takes that of the process, 0.99 where it has none. A log that is imitated has none to speak of.
    evaluation : {"auto", "solve", "sweeps"}, default="auto"
        How the values of a policy are found: by elimination, dense up to 512 states and sparse beyond; or by sweeps
        down to a tenth of `tol`. "auto" solves up to 4000 states: beyond, the factors of a sparse matrix fill up.
    tol : float, default=1e-8
        An action gives way to another only if that one is better by more than this.
    max_iter : int, default=1000
        The most policies.
    discretizer : transformer or None, default=None
        Makes states of the observations of a log, e.g. ``KBinsDiscretizer(encode="ordinal")``; None takes each
        distinct row for a state, and an unseen row for the nearest; if hardly any comes twice, a log with rewards
        teaches little, and `fit` warns of it.

    Attributes
    ----------
    value_ : ndarray of shape (n_states,), float64
        The optimal values; with discount 1 the largest of policies that end.
    value_lower_, value_upper_ : ndarray of shape (n_states,), float64
        The true values lie between them, rounding included. Infinite with discount 1, unless every policy ends.
    action_values_ : ndarray of shape (n_states, n_actions)
        Of the best way on after each action; float32 of a log of such. -inf for actions that a state doesn't allow, or
        that a log has never tried in it; 0 in terminal states.
    policy_ : ndarray of shape (n_states,)
        The best action of each state, among `classes_`; of equals the first, with discount 1 one that leads to an end.
    classes_ : ndarray of shape (n_actions,)
        The actions.
    states_ : NumberedStates or KnownStates
        Finds the state of an observation.
    observation_space_, action_space_ : Discrete or None
        Of the environments; None after a log.
    n_iter_ : int
        Policies evaluated.
    history_ : dict of list
        "residual", the Bellman residual of each policy's values; "n_changed", the states in which the next one differs.
    n_features_in_ : int
        Numbers in an observation.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of columns of a log, if it has such.

    Raises
    ------
    ValueError
        In `fit`, with discount 1, if a policy is reached under which episodes never end, as where going round in
        circles pays.

    See Also
    --------
    ValueIteration : Sweeps alone, for many states.
    FiniteMDP : What is planned on.

    References
    ----------
    .. [1] R. A. Howard (1960). Dynamic Programming and Markov Processes. MIT Press.

    Examples
    --------
    >>> from skml.reinforcement import FiniteMDP, PolicyIteration
    >>> stay, go = [[1, 0], [0, 1]], [[0.5, 0.5], [0, 1]]
    >>> mdp = FiniteMDP([stay, go], rewards=[[1, 2], [0, 0]], discount=0.9, terminal=[1])
    >>> planner = PolicyIteration().fit(mdp)
    >>> planner.policy_, planner.value_.round(6), planner.n_iter_
    (array([0, 0]), array([10.,  0.]), 2)
    """

    _parameter_constraints = {
        "discount": [Interval(Real, 0, 1, closed="both"), None],
        "evaluation": [StrOptions({"auto", "solve", "sweeps"})],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "discretizer": [HasMethods(["fit", "transform"]), None],
    }

    def __init__(self, discount=None, *, evaluation="auto", tol=1e-8, max_iter=1000, discretizer=None):
        self.discount = discount
        self.evaluation = evaluation
        self.tol = tol
        self.max_iter = max_iter
        self.discretizer = discretizer

    def _learn_worlds(self, worlds):
        _plan_worlds(self, worlds)

    def _learn_log(self, log):
        _plan_log(self, log)

    def _values(self, observations):
        return _action_values(self, observations)

    def _policy(self, observations):
        return _policy(self, observations)

    @property
    def _n_features_out(self):
        return len(self.classes_)

    def _iterations(self, mdp, model):
        solves = self.evaluation == "solve" or (self.evaluation == "auto" and mdp.n_states <= improvement.MANY)
        evaluate = improvement.solve if solves else improvement.sweep_solver(model, self.tol)
        return improvement.policy_iteration(model, evaluate, self.tol, self.max_iter), _attributes


# ------------------------------------------------------------------------------------ what both planners do


def _plan_worlds(planner, worlds):
    mdp, states = model_of_worlds(worlds, planner.discount, planner.observation_space_, type(planner).__name__)
    discount = mdp.discount if planner.discount is None else float(planner.discount)
    _plan(planner, mdp, states, discount, {"X": worlds})


def _plan_log(planner, log):
    mdp, states = model_of_log(log, planner.discretizer)
    if log.reward is not None:
        warn_of_passing_states(states, len(log.actions), type(planner).__name__)
    discount = DISCOUNT if planner.discount is None else float(planner.discount)
    seen = {"X": log.observations, "y": planner.classes_[log.actions], "sample_weight": log.weights}
    _plan(planner, mdp, states, 0.0 if log.reward is None else discount, seen, log.observations.dtype)


def _plan(planner, mdp, states, discount, seen, dtype=np.float64):
    """Plan on a process, and set the fitted attributes."""
    if discount == 1 and getattr(planner, "horizon", None) is None:
        mdp.require_end()
    model = model_of(mdp, discount, n_threads())
    steps, attributes_of = planner._iterations(mdp, model)

    def attributes(state, history):
        n_iter = len(history["residual"])
        found = attributes_of(planner, mdp, model, state)
        tables = {name: found[name].astype(dtype, copy=False) for name in TABLES if name in found}
        return {**found, **tables, "states_": states, "n_iter_": n_iter, "history_": history}

    with fit_task(planner, max_subtasks=None, **seen) as context:
        run = run_steps(planner, context, steps, task="iteration", attributes=attributes, **seen)
        vars(planner).pop("horizon_value_", None), vars(planner).pop("horizon_policy_", None)
        vars(planner).update(attributes(run.state, run.history))
    _warn_unless_converged(planner, model, run)


def _warn_unless_converged(planner, model, run):
    if getattr(planner, "horizon", None) is not None or run.stopped:
        return
    residual = run.history["residual"][-1]
    if residual > max(planner.tol, rounding(model, run.state)):
        endless = " With discount 1, values may grow for ever where going round in circles pays."
        warn_caller(
            f"{type(planner).__name__} stopped after max_iter={planner.max_iter} iterations with a Bellman residual of "
            f"{residual:.3g}, above tol={planner.tol:g}.{endless if model.discount == 1 else ''}",
            ConvergenceWarning,
        )


def _attributes(planner, mdp, model, v):
    """Return the fitted attributes that values amount to."""
    found = solution(model, v)
    pairs = found.pairs
    if model.discount == 1:
        pairs = ending_pairs(model, found.pair_values, pairs, _slacks(rounding(model, v), planner.tol))
    return {
        "value_": found.value,
        "value_lower_": found.lower,
        "value_upper_": found.upper,
        "action_values_": _by_action(mdp, found.pair_values),
        "policy_": _actions(planner, mdp, pairs),
    }


def _slacks(noise, tol):
    """Yield how far apart values may be that are taken for equal: by rounding, by the tolerance, and further."""
    yield noise
    while True:
        noise = max(10 * noise, tol)
        yield noise


def _time_attributes(planner, mdp, model, state):
    """Return the fitted attributes of a plan for a number of steps."""
    values, pairs = (grown[: state[2]] for grown in state[:2])
    after = values[-2] if len(values) > 1 else np.zeros_like(values[-1])
    value = values[-1][:-1]
    slack = len(values) * rounding(model, value)
    return {
        "value_": value,
        "value_lower_": np.where(mdp.terminal, 0.0, value - slack),
        "value_upper_": np.where(mdp.terminal, 0.0, value + slack),
        "action_values_": _by_action(mdp, pair_values(model, after)),
        "policy_": _actions(planner, mdp, pairs[-1]),
        "horizon_value_": np.array([v[:-1] for v in values[::-1]] + [np.zeros(mdp.n_states)]),
        "horizon_policy_": np.array([_actions(planner, mdp, p) for p in pairs[::-1]]),
    }


def _by_action(mdp, q):
    """Return values of pairs as (n_states, n_actions); -inf where there is no pair, 0 in terminal states."""
    require_memory(8 * mdp.n_states * mdp.n_actions, "The action values")
    table = np.full((mdp.n_states, mdp.n_actions), -np.inf)
    table[mdp.terminal] = 0.0
    table[mdp.pair_states, mdp.pair_actions] = q
    return table


def _actions(planner, mdp, pairs):
    """Return the action of a pair for each state; the first action where there is none."""
    return planner.classes_[np.where(pairs >= 0, mdp.pair_actions[np.maximum(pairs, 0)], 0)]


def _action_values(planner, observations):
    return planner.action_values_[planner.states_.of(observations)].astype(observations.dtype)


def _policy(planner, observations):
    """Return a 1 for the best action and a 0 for all others."""
    best = np.searchsorted(planner.classes_, planner.policy_[planner.states_.of(observations)])
    probabilities = np.zeros((len(observations), len(planner.classes_)), dtype=observations.dtype)
    probabilities[np.arange(len(best)), best] = 1
    return probabilities
