"""Schedules: values by hand, ends, and bounds."""

import math

import numpy as np
import pytest

from skml.network import SCHEDULES, Plan, Squared, constant, cosine, one_cycle, schedule, stepwise


def test_values_by_hand():
    assert [constant(t, 5) for t in range(5)] == [1] * 5
    assert [stepwise(t, 6, drop=0.5) for t in range(6)] == [1, 1, 0.5, 0.5, 0.25, 0.25]
    assert cosine(0, 4) == 1
    assert cosine(2, 4) == pytest.approx(0.5)
    assert cosine(4, 4, least=0.1) == pytest.approx(0.1)
    assert [cosine(t, 8, warmup=0.5) for t in range(5)] == pytest.approx([0.25, 0.5, 0.75, 1, 1])
    assert one_cycle(0, 101) == pytest.approx(0.04)
    assert one_cycle(100, 101) == pytest.approx(4e-6)
    assert one_cycle(29, 100) == pytest.approx(1)
    assert one_cycle(4, 11, rise=0.0, end=0.5) == pytest.approx(0.75 + 0.25 * math.cos(0.4 * math.pi))


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("total", [1, 2, 3, 10, 997])
def test_factors_are_shares(name, total):
    factors = [schedule(name)(t, total) for t in range(total + 5)]
    assert all(0 <= factor <= 1 + 1e-12 for factor in factors)
    top = factors.index(max(factors))
    assert sorted(factors[top:], reverse=True) == factors[top:]
    assert factors[0] > 0


def test_names():
    assert schedule("constant") is constant
    assert schedule(cosine) is cosine
    with pytest.raises(ValueError, match="no schedule 'linear'; there are 'constant', 'step'"):
        schedule("linear")
    for other in (None, math.nan, ["constant"]):
        with pytest.raises(ValueError, match="There is no schedule"):
            schedule(other)


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -0.1, "0.1"])
def test_a_schedule_that_gives_no_factor_is_refused(value):
    plan = Plan(Squared(), schedule=lambda t, total: value)
    with pytest.raises(ValueError, match="for step 3 of 10; what it gives must be a finite number of at least 0"):
        plan.factor(3, 10)
    assert Plan(Squared(), schedule=lambda t, total: np.float32(0.5)).factor(0, 1) == 0.5
