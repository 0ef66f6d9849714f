"""Sphinx configuration."""

from __future__ import annotations

from typing import Any

# Names that scripts of the gallery import are looked up, and IterativeImputer is there only then.
from sklearn.experimental import enable_iterative_imputer  # noqa: F401

import skvae

project = "skvae"
author = "The skvae developers"
copyright = author
release = version = skvae.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx_design",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
# Names in single backticks in docstrings link to what they name, if it is documented here.
default_role = "py:obj"

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings tell types
# The templates list the members.
numpydoc_show_class_members = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "within_subsection_order": "FileNameSortKey",
    "ignore_pattern": "compare_embeddings",  # the README's command, not a page
    # Scripts whose name matches are run: here none, for they take long and need data; tox -e
    # gallery runs all.
    "filename_pattern": "none of them",
    "abort_on_example_error": True,
    # Tables are printed, figures are shown: what an expression returns is not.
    "capture_repr": (),
    "backreferences_dir": "gallery/backreferences",
    "doc_module": "skvae",
    "min_reported_time": 1_000_000,  # seconds: pages do not change from build to build
    "write_computation_times": False,
    "download_all_examples": False,
    "show_signature": False,
    "remove_config_comments": True,
    "image_srcset": ["2x"],
}

html_theme = "pydata_sphinx_theme"
html_title = f"skvae {release}"
# Files for the root of the site: llms.txt, an index of the pages for language models.
html_extra_path = ["extra"]
html_show_sourcelink = False


def skip_scikit_learns(
    app: Any, what: str, name: str, obj: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out members inherited from scikit-learn: their docstrings link to its own pages."""
    return True if (getattr(obj, "__module__", None) or "").startswith("sklearn.") else None


def setup(app: Any) -> None:
    """Connect the event handlers."""
    app.connect("autodoc-skip-member", skip_scikit_learns)
