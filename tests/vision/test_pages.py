"""The pages on vision and networks: their snippets run, from top to bottom, without a warning."""

import pathlib
import re

import matplotlib.pyplot as plt
import pytest

REPOSITORY = pathlib.Path(__file__).parents[2]
PAGES = ("convolution", "training", "conv_classifier", "conv_autoencoder")


@pytest.mark.parametrize("page", PAGES)
def test_snippets_run(page):
    text = (REPOSITORY / "docs" / "algorithms" / f"{page}.md").read_text()
    snippets = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    assert len(snippets) > 1
    names = {}
    for number, snippet in enumerate(snippets):
        exec(compile(snippet, f"{page}, snippet {number}", "exec"), names)
    plt.close("all")
