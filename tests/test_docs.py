"""Docstrings: every public name is described whole, in the order of its signature, and has an example that runs."""

import ast
import importlib
import inspect
import pkgutil
import re
import textwrap
from dataclasses import is_dataclass

import pytest
from _contract.cases import each_class, make
from numpydoc.docscrape import ClassDoc, FunctionDoc
from sklearn.base import is_classifier
from sklearn.datasets import make_blobs

import skml

# Methods that scikit-learn's mixins write docstrings for.
INHERITED = ("get_params", "set_params", "set_output", "get_metadata_routing", "set_callbacks")


def modules():
    """Yield every public module of the package."""
    for found in pkgutil.walk_packages(skml.__path__, "skml."):
        if not any(part.startswith("_") or part == "reference" for part in found.name.split(".")[1:]):
            yield importlib.import_module(found.name)


def public():
    """Return {dotted name: object} of what the modules' ``__all__`` or skml's offer, defined in skml."""
    found = {f"skml.{name}": getattr(skml, name) for name in skml.__all__ if name != "__version__"}
    for module in modules():
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if callable(value) and value not in found.values():
                found[f"{module.__name__}.{name}"] = value
    return found


def methods(cls):
    """Return the public functions that a class defines itself or inherits from skml."""
    return {
        name: value
        for name, value in inspect.getmembers(cls, inspect.isfunction)
        if not name.startswith("_") and name not in INHERITED and value.__module__.startswith("skml")
    }


PUBLIC = public()
CLASSES = {name: value for name, value in PUBLIC.items() if inspect.isclass(value)}
FUNCTIONS = {name: value for name, value in PUBLIC.items() if inspect.isfunction(value)}
METHODS = {f"{name}.{method}": value for name, cls in CLASSES.items() for method, value in methods(cls).items()}
# Callback hooks are called by scikit-learn's protocol, which describes their arguments.
HOOKS = ("setup", "teardown", "on_fit_task_begin", "on_fit_task_end")


def names(section):
    """Return the parameter names of a parsed numpydoc section, e.g. of ``X, y : array``."""
    return [name.strip().lstrip("*") for entry in section for name in entry.name.split(",")]


def wanted(function):
    """Return the parameters that a docstring owes its reader."""
    return [name for name in inspect.signature(function).parameters if name != "self"]


def problems(function):
    """Return what is missing from the docstring of a function or method."""
    if not inspect.getdoc(function):
        return ["no docstring"]
    doc = FunctionDoc(function)
    found = [] if "".join(doc["Summary"]).strip() else ["no summary"]
    if names(doc["Parameters"]) != wanted(function):
        found.append(f"Parameters {names(doc['Parameters'])}, signature {wanted(function)}")
    found += [f"{entry.name} has no description" for entry in doc["Parameters"] if not "".join(entry.desc).strip()]
    found += [f"{entry.name} has no type" for entry in doc["Parameters"] if not entry.type]
    if returns_a_value(function) and not (doc["Returns"] or doc["Yields"]):
        found.append("no Returns")
    return found


def returns_a_value(function):
    """Tell whether the function's own source, nested functions aside, returns or yields something."""
    pending = list(ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function)))).body[0].body)
    while pending:
        node = pending.pop()
        if isinstance(node, (ast.Yield, ast.YieldFrom)) or (isinstance(node, ast.Return) and node.value is not None):
            return True
        if not isinstance(node, (ast.FunctionDef, ast.Lambda, ast.ClassDef)):
            pending += ast.iter_child_nodes(node)
    return False


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_function_is_described(name):
    assert problems(FUNCTIONS[name]) == []


@pytest.mark.parametrize("name", sorted(METHODS))
def test_method_is_described(name):
    if name.rpartition(".")[2] in HOOKS:
        assert inspect.getdoc(METHODS[name])
    else:
        assert problems(METHODS[name]) == []


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_class_is_described(name):
    cls = CLASSES[name]
    doc = ClassDoc(cls)
    assert "".join(doc["Summary"]).strip()
    if issubclass(cls, Warning):
        return
    documented = names(doc["Attributes" if is_dataclass(cls) else "Parameters"])  # a dataclass documents its fields
    assert documented == wanted(cls)
    assert all("".join(entry.desc).strip() and entry.type for entry in doc["Parameters"] + doc["Attributes"])


@pytest.mark.parametrize("name", sorted(name for name in PUBLIC if name.count(".") == 1))
def test_public_name_has_an_example(name):
    assert ">>>" in inspect.getdoc(PUBLIC[name])


def test_examples_are_run(request):
    assert request.config.option.doctestmodules
    assert "skml" in request.config.getini("testpaths")


@pytest.mark.parametrize("name", sorted({*CLASSES, *FUNCTIONS}))
def test_documented_defaults_are_those_of_the_signature(name):
    value = PUBLIC[name]
    if inspect.isclass(value) and issubclass(value, Warning):
        return
    entries = (ClassDoc(value) if inspect.isclass(value) else FunctionDoc(value))["Parameters"]
    for parameter in inspect.signature(value).parameters.values():
        text = next((entry.type for entry in entries if parameter.name in names([entry])), None)
        if text is None or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        said = re.search(r"default=(.+)$", text)
        if parameter.default is parameter.empty:
            assert said is None, f"{parameter.name} has no default"
        elif not (said is None and parameter.default is None and text.endswith("or None")):
            assert said, f"the default of {parameter.name} is not documented"
            assert written(said[1]) == written(parameter.default), parameter.name


def written(value):
    """Return a default as a docstring writes it: types by name, numbers as Python does, one kind of quotes, \\n."""
    if isinstance(value, str) and value[:1] not in "'\"":
        try:
            return repr(float(value))
        except ValueError:
            return value.replace("\n", r"\n").strip("'\"`") or repr(value)
    if isinstance(value, type):
        return value.__name__
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return repr(float(value))
    return str(value).strip("'\"`")


@each_class
def test_fitted_attributes_are_described(cls):
    X, y = make_blobs(60, n_features=4, centers=3, random_state=0)
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(X, columns=list("abcd"))
    estimator = make(cls)
    estimator.fit(X, y if is_classifier(estimator) else y * 1.0)
    doc = ClassDoc(cls)
    described = set(names(doc["Attributes"]))
    held = {name for name in vars(estimator) if name.endswith("_") and not name.startswith("_")}
    properties = {
        name
        for name, value in inspect.getmembers(cls, lambda member: isinstance(member, property))
        if name.endswith("_") and not name.startswith("_")
    }
    assert held - described == set(), "not described"
    missing = {name for name in described - held - properties if not hasattr(estimator, name)}
    optional = {entry.name for entry in doc["Attributes"] if re.search(r"\b[Oo]nly\b|\b[Ii]f\b", " ".join(entry.desc))}
    assert missing - optional == set(), "described, but not there after fit"


def test_a_poor_docstring_is_found():
    def poor(a, b=1):
        """Add.

        Parameters
        ----------
        b : int, default=1
            The second.
        """
        return a + b

    found = problems(poor)
    assert any("signature ['a', 'b']" in problem for problem in found)
    assert "no Returns" in found


@pytest.mark.parametrize(
    ("text", "value", "equal"),
    [
        ('"auto"', "auto", True),
        ("'auto'", "auto", True),
        ("1e-4", 1e-4, True),
        ("0", 0.0, True),
        ("None", None, True),
        ("float64", float, False),
        ("10", 11, False),
        ("True", True, True),
        ("()", (), True),
    ],
)
def test_defaults_compare_by_value(text, value, equal):
    assert (written(text) == written(value)) is equal
