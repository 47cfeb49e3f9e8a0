"""Light enough to be used in others' unit tests: little is imported, and little data is learnt in little time."""

import ast
import time

import numpy as np
import pytest
from _contract.children import run

from skml import ConvClassifier, _kernels


def loaded(statement, beside="skml"):
    """Return the modules that a statement loads besides those of others."""
    program = f"import sys, {beside}\nbefore = set(sys.modules)\n{statement}\nprint(sorted(set(sys.modules) - before))"
    return ast.literal_eval(run(["-c", program]).strip())


def test_the_package_loads_nothing_but_itself():
    assert loaded("import skml.vision") == ["skml.vision"]


def test_an_estimator_loads_nothing_heavy():
    # scikit-learn's bare base is heavy enough, and not ours to change
    names = loaded("from skml.vision import ConvClassifier", "sklearn.base, sklearn.callback, sklearn.utils.validation")
    assert "skml.vision.conv_classifier" in names
    assert {name.partition(".")[0] for name in names} <= {"skml", "sklearn", "scipy", "numpy"}
    packages = {".".join(name.split(".")[:2]) for name in names if name.startswith("skml.")}
    floors = {"skml.base", "skml._dtypes", "skml._kernels", "skml._labels", "skml._rows", "skml._sklearn"}
    assert packages <= floors | {"skml.network", "skml.vision"}
    assert not {"skml.vision.displays", "sklearn.ensemble", "sklearn.linear_model", "sklearn.neighbors"} & set(names)


@pytest.mark.skipif(_kernels.LEVEL == "reference", reason="twins are slow")
def test_a_hundred_rows_are_learnt_in_a_fifth_of_a_second(rng):
    X, y = rng.normal(size=(100, 64)).astype(np.float32), np.arange(100) % 3

    def seconds():
        start = time.process_time()
        ConvClassifier(n_jobs=1, random_state=0).fit(X, y)
        return time.process_time() - start

    # Processor time, and the best of several: what else runs on the machine only adds.
    assert any(seconds() < 0.2 for _ in range(10))
