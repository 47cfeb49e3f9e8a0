"""Fixtures shared by all tests."""

import os

import numpy as np
import pytest

# array API dispatch in SciPy must be asked for before SciPy is imported; without it checks would be skipped.
assert os.environ.get("SCIPY_ARRAY_API") == "1", "run the tests with SCIPY_ARRAY_API=1 (make test does)"


def pytest_configure(config):
    config.skml_seed = int(os.environ.get("SKML_SEED", np.random.SeedSequence().entropy % 1000))


def pytest_report_header(config):
    return f"skml seed: {config.skml_seed} (repeat with SKML_SEED={config.skml_seed})"


@pytest.fixture
def seed(request):
    """An integer that varies from run to run: a test must hold for any."""
    return request.config.skml_seed


@pytest.fixture
def rng(seed):
    """A NumPy generator started from the varying seed."""
    return np.random.default_rng(seed)
