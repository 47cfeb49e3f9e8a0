"""The pages on reinforcement learning: their snippets run, from top to bottom, without a warning."""

import pathlib
import re

import matplotlib.pyplot as plt
import pytest

import skml.reinforcement

ALGORITHMS = pathlib.Path(__file__).parents[2] / "docs" / "algorithms"
SUBJECTS = ["skml.reinforcement", *(f"skml.{name}" for name in skml.reinforcement.__all__)]
TEXTS = {path.stem: path.read_text() for path in sorted(ALGORITHMS.glob("*.md"))}
PAGES = [page for page, text in TEXTS.items() if any(f"{subject}`" in text.partition("\n")[0] for subject in SUBJECTS)]


def test_there_are_pages():
    assert {"reinforcement", "q_learning", "sarsa"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_snippets_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for number, snippet in enumerate(re.findall(r"^```python\n(.*?)^```", TEXTS[page], re.M | re.S)):
        exec(compile(snippet, f"{page}, snippet {number}", "exec"), names)
    plt.close("all")
