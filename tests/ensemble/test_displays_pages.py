"""The pages on ensembles and callbacks: their snippets run, from top to bottom, without a warning."""

import pathlib
import re

import matplotlib.pyplot as plt
import pytest

REPOSITORY = pathlib.Path(__file__).parents[2]
PAGES = ("docs/algorithms/bagging_forest.md", "docs/algorithms/adaboost.md", "docs/callbacks.md", "README.md")


@pytest.mark.parametrize("page", PAGES)
def test_snippets_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (REPOSITORY / page).read_text()
    if page == "README.md":
        text = re.search(r"^## `skml\.ensemble`\n(.*?)^## ", text, re.M | re.S)[1]
    snippets = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    assert len(snippets) > 1
    names = {}
    for number, snippet in enumerate(snippets):
        exec(compile(snippet, f"{page}, snippet {number}", "exec"), names)
    plt.close("all")


def test_examples_that_the_readme_names_are_there():
    named = re.findall(r"`(examples/\w+\.py)`", (REPOSITORY / "README.md").read_text())
    assert len(named) > 3
    assert all((REPOSITORY / name).is_file() for name in named)
