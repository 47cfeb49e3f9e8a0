"""Sphinx configuration."""

import skml

project = "skml"
author = "the skml developers"
copyright = "2026, the skml developers"
release = version = skml.__version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.mathjax", "numpydoc", "myst_parser"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {"description": "scikit-learn compatible estimators", "fixed_sidebar": True}
numpydoc_show_class_members = False
autosummary_generate = True
suppress_warnings = ["ref.ref"]  # docstrings of scikit-learn's mixins refer to its own user guide
