"""Pictures of attention: what is drawn is what the model says, under the names of its tokens."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from _contract.children import run
from sklearn.exceptions import NotFittedError

from skml import RNNLanguageModel, TransformerLanguageModel
from skml.language import AttentionDisplay

SETTINGS = {"n_layers": 2, "n_heads": 3, "embedding_size": 12, "context_length": 8, "max_iter": 1, "random_state": 0}
TEXTS = ["ab ab\nab", "ba $ba$", "🙂 a"] * 3


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def model():
    return TransformerLanguageModel(**SETTINGS).fit(TEXTS)


def drawn(image):
    return np.nan_to_num(image.get_array().filled(0.0))


@pytest.mark.parametrize("layer", [0, 1, -1])
def test_each_head_has_a_panel(model, layer):
    display = AttentionDisplay.from_estimator(model, "ab b", layer=layer)
    weights = model.attention_weights(["ab b"], layer)[0]
    assert len(display.images_) == len(display.axes_) == 3
    for i, (image, axis) in enumerate(zip(display.images_, display.axes_)):
        np.testing.assert_array_equal(drawn(image), weights[i].astype(float))
        assert image.get_array().mask.sum() == 10  # what comes later is blank
        assert axis.get_title() == f"layer {layer % 2}, head {i}"
        assert axis.figure is display.figure_
    display.figure_.canvas.draw()
    names = [label.get_text() for label in display.axes_[0].get_yticklabels()]
    assert names == [label.get_text() for label in display.axes_[0].get_xticklabels()]
    assert names == ["<end>", "a", "b", "␣", "b"]


def test_one_head_or_their_mean(model):
    weights = model.attention_weights(["ab"], 0)[0].astype(float)
    display = AttentionDisplay(weights)
    np.testing.assert_array_equal(drawn(display.plot(head=2).images_[0]), weights[2])
    np.testing.assert_array_equal(drawn(display.plot(head=-1).images_[0]), weights[2])
    assert display.axes_[0].get_title() == "head 2"
    np.testing.assert_allclose(drawn(display.plot(head="mean").images_[0]), weights.mean(axis=0))
    for head in (3, -4, "all", True, 1.0):
        with pytest.raises(ValueError, match="is none of 0 to 2"):
            display.plot(head=head)


def test_axes_may_be_given(model):
    figure, axes = plt.subplots(3)
    display = AttentionDisplay.from_estimator(model, "ab", ax=axes, cmap="magma", vmax=0.5)
    assert display.figure_ is figure
    assert list(display.axes_) == list(axes)
    assert display.images_[0].get_cmap().name == "magma"
    assert display.images_[0].get_clim() == (0, 0.5)
    _, ax = plt.subplots()
    assert AttentionDisplay.from_estimator(model, "ab", head="mean", ax=ax).axes_[0] is ax
    with pytest.raises(ValueError, match="3 matrices to draw, and 1 axes"):
        display.plot(ax)


def test_of_a_long_document_the_last_window_is_drawn(model):
    display = AttentionDisplay.from_estimator(model, "ab ab ab ab ab $\n", head=0)
    n = display.weights.shape[-1]
    assert n <= 8
    assert display.tokens == list("ab ab ab ab ab $\n")[-n:]
    display.figure_.canvas.draw()
    assert [label.get_text() for label in display.axes_[0].get_xticklabels()][-2:] == ["$", "\\n"]


def test_tokens_of_other_kinds(rng):
    X = rng.integers(0, 5, (9, 6))
    model = TransformerLanguageModel(**{**SETTINGS, "tokenizer": None}).fit(X)
    assert AttentionDisplay.from_estimator(model, X[0]).tokens == ["<end>", *map(str, X[0])]
    model = TransformerLanguageModel(**{**SETTINGS, "tokenizer": "bpe", "context_length": 40}).fit(TEXTS)
    display = AttentionDisplay.from_estimator(model, "ab 🙂")
    assert display.tokens[0] == "<end>"
    assert "".join(display.tokens[1:]).startswith("ab ")
    assert len(display.tokens) == display.weights.shape[-1]
    model = TransformerLanguageModel(**SETTINGS).fit(rng.normal(size=(9, 6)))
    assert len(AttentionDisplay.from_estimator(model, np.zeros(6)).tokens) == 7


def test_what_cannot_be_drawn_is_said(model):
    recurrent = RNNLanguageModel(hidden_size=4, max_iter=1).fit(TEXTS)
    with pytest.raises(TypeError, match="needs attention, which RNNLanguageModel does not have"):
        AttentionDisplay.from_estimator(recurrent, "ab")
    with pytest.raises(NotFittedError):
        AttentionDisplay.from_estimator(TransformerLanguageModel(), "ab")
    with pytest.raises(TypeError, match="text must be a string"):
        AttentionDisplay.from_estimator(model, ["ab"])
    with pytest.raises(ValueError, match="layer=2"):
        AttentionDisplay.from_estimator(model, "ab", layer=2)


def test_without_matplotlib_the_extra_is_named():
    program = (
        "import sys; sys.modules['matplotlib.pyplot'] = None\n"
        "import numpy as np\nfrom skml.language import AttentionDisplay\n"
        "try:\n    AttentionDisplay(np.ones((1, 1, 1))).plot()\nexcept ImportError as error:\n    print(error)"
    )
    assert "skml[plot]" in run(["-c", program])
