"""Three estimators, one set of parameters: what they share has the same words, limits and defaults."""

import inspect
import re

import pytest

from skml import ConvAutoencoder, ConvClassifier, ConvRegressor

# What an estimator says in its own words: {class: parameters}, beside those that it alone has.
OWN_WORDS = {
    ConvRegressor: {"early_stopping", "validation_fraction"},
    ConvAutoencoder: {
        *("filters", "stride", "padding", "pool", "hidden_layer_sizes", "activation", "learning_rate_init"),
        *("early_stopping", "validation_fraction", "random_state"),
    },
}
OWN_DEFAULTS = {ConvRegressor: set(), ConvAutoencoder: {"stride", "pool", "learning_rate_init"}}
TRAINING = {
    *("solver", "learning_rate_init", "learning_rate", "batch_size", "max_iter", "max_steps", "weight_decay"),
    *("early_stopping", "validation_fraction", "n_iter_no_change", "tol", "dtype", "random_state", "n_jobs"),
    "warm_start",
}
BODY = {
    *("filters", "kernel_size", "stride", "padding", "pool", "pool_size", "hidden_layer_sizes", "activation"),
    *("normalization", "image_shape", "data_format"),
}


def section(cls, name):
    """Return {entry: its lines} of a section of a docstring."""
    text = re.search(rf"\n{name}\n-+\n(.*?)(?=\n\n\w[^\n]*\n---|\Z)", inspect.getdoc(cls), re.S)[1]
    return dict(re.findall(r"^(\w+) : (.*(?:\n(?:    .*)?)*)", text, re.M))


def defaults(cls):
    return {name: parameter.default for name, parameter in inspect.signature(cls).parameters.items()}


@pytest.mark.parametrize("cls", OWN_WORDS)
def test_shared_parameters_have_the_same_words(cls):
    words, ours = section(ConvClassifier, "Parameters"), section(cls, "Parameters")
    differ = {name for name in words.keys() & ours.keys() if words[name].strip() != ours[name].strip()}
    assert differ == OWN_WORDS[cls]
    assert len(words.keys() & ours.keys()) > 25


@pytest.mark.parametrize("cls", OWN_WORDS)
def test_shared_parameters_have_the_same_limits_and_defaults(cls):
    known, ours = defaults(ConvClassifier), defaults(cls)
    shared = known.keys() & ours.keys()
    assert {name for name in shared if known[name] != ours[name]} == OWN_DEFAULTS[cls]
    limits, of_cls = ConvClassifier._parameter_constraints, cls._parameter_constraints
    assert all(limits[name] is of_cls[name] for name in shared)


@pytest.mark.parametrize("cls", [ConvClassifier, *OWN_WORDS])
def test_every_parameter_is_there_in_the_order_of_the_signature(cls):
    names = list(defaults(cls))
    assert list(section(cls, "Parameters")) == names
    assert set(names) >= TRAINING | BODY


@pytest.mark.parametrize(
    ("cls", "names"),
    [
        (ConvClassifier, {"residual", "dropout", "architecture", "augment", "class_weight", "label_smoothing"}),
        (ConvRegressor, {"residual", "dropout", "architecture", "augment", "loss"}),
        (ConvAutoencoder, {"n_components", "denoise", "upsampling"}),
    ],
)
def test_parameters_of_its_own(cls, names):
    assert set(defaults(cls)) - TRAINING - BODY == names


@pytest.mark.parametrize("cls", [ConvClassifier, *OWN_WORDS])
def test_what_a_fit_leaves_is_documented(cls, rng):
    model = cls(filters=(2,), max_iter=1, random_state=0).fit(rng.normal(size=(20, 16)), [0, 1] * 10)
    fitted = {name for name in vars(model) if name.endswith("_") and not name.startswith("_")}
    assert fitted <= set(section(cls, "Attributes"))
    assert set(section(cls, "Attributes")) - fitted <= {"feature_names_in_"}
    assert fitted >= {"history_", "n_parameters_", "n_iter_", "image_shape_"}


@pytest.mark.parametrize(
    ("cls", "methods"),
    [
        (ConvClassifier, "predict predict_proba decision_function transform feature_maps partial_fit summary saliency"),
        (ConvRegressor, "predict transform feature_maps partial_fit summary saliency"),
        (ConvAutoencoder, "transform inverse_transform score partial_fit feature_maps summary"),
    ],
)
def test_methods_that_are_promised(cls, methods):
    for name in (*methods.split(), "get_feature_names_out", "set_output"):
        assert inspect.getdoc(getattr(cls, name))
