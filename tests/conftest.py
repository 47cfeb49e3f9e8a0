"""Fixtures shared by all tests, and the line that counts scikit-learn's checks."""

import os
import pathlib
import sys

import numpy as np
import pytest

# array API dispatch in SciPy must be asked for before SciPy is imported; without it checks would be skipped.
assert os.environ.get("SCIPY_ARRAY_API") == "1", "run the tests with SCIPY_ARRAY_API=1 (make test does)"

# Test modules share the helpers of _contract/; the import mode "importlib" leaves sys.path alone.
sys.path.insert(0, str(pathlib.Path(__file__).parent))
pytest.register_assert_rewrite("_contract")

COUNTED = "check_estimator"  # the user property by which a test item tells the controller what its check did


def pytest_configure(config):
    config.skml_seed = int(os.environ.get("SKML_SEED", np.random.SeedSequence().entropy % 1000))
    os.environ["SKML_SEED"] = str(config.skml_seed)  # the workers of pytest-xdist use the same
    config.skml_counts = {}
    config.pluginmanager.register(_Counter(config.skml_counts), "skml-counter")


class _Counter:
    """Collects the outcome of each check in the process that reports, with and without pytest-xdist."""

    def __init__(self, counts):
        self.counts = counts

    def pytest_runtest_logreport(self, report):
        if report.when == "call":
            for name, value in report.user_properties:
                if name == COUNTED:
                    self.counts[report.nodeid] = value


def pytest_report_header(config):
    return f"skml seed: {config.skml_seed} (repeat with SKML_SEED={config.skml_seed})"


def pytest_terminal_summary(terminalreporter, config):
    outcomes = list(config.skml_counts.values())
    if outcomes:
        statuses = [status for _, status in outcomes]
        line = {name: statuses.count(name) for name in ("passed", "skipped", "excused")}
        terminalreporter.write_line(
            f"estimators {len({estimator for estimator, _ in outcomes})}, checks run {len(outcomes)}, "
            + ", ".join(f"{name} {count}" for name, count in line.items())
        )


@pytest.fixture
def seed(request):
    """An integer that varies from run to run: a test must hold for any."""
    return request.config.skml_seed


@pytest.fixture
def rng(seed):
    """A NumPy generator started from the varying seed."""
    return np.random.default_rng(seed)
