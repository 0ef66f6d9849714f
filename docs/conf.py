"""Sphinx configuration."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import Any

# Names that scripts of the gallery import are looked up, and IterativeImputer is there only then.
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sphinx.util.fileutil import copy_asset

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
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
# Names in single backticks in docstrings link to what they name, if it is documented here.
default_role = "py:obj"

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

# The script and the fonts of MathJax are part of the site: see copy_mathjax.
mathjax_path = "mathjax/tex-chtml.js"
mathjax3_config = {"options": {"enableMenu": False}}  # the menu would load more scripts

# Links to other projects need their inventories from the network. Builds without a network work,
# so only builds with this environment variable have the links: see CONTRIBUTING.md.
if os.environ.get("SKVAE_INTERSPHINX"):
    extensions.append("sphinx.ext.intersphinx")
intersphinx_mapping = {
    "python": ("https://docs.python.org/3/", None),
    "numpy": ("https://numpy.org/doc/stable/", None),
    "scipy": ("https://docs.scipy.org/doc/scipy/", None),
    "sklearn": ("https://scikit-learn.org/stable/", None),
    "pandas": ("https://pandas.pydata.org/docs/", None),
    "torch": ("https://docs.pytorch.org/docs/stable/", None),
    "matplotlib": ("https://matplotlib.org/stable/", None),
}

# Copy code without prompts and without output.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_selector = "div:not(.sphx-glr-script-out) > div.highlight > pre"

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
    "reference_url": {"skvae": None},  # links from code to the API reference
    "min_reported_time": 1_000_000,  # seconds: pages do not change from build to build
    "write_computation_times": False,
    "download_all_examples": False,
    "show_signature": False,
    "remove_config_comments": True,
    "image_srcset": ["2x"],
}

toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system
html_title = f"skvae {release}"
# Files for the root of the site: llms.txt, an index of the pages for language models.
html_extra_path = ["extra"]
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["skvae.css"]
# Pages without neighbours in a section need no list of the section.
html_sidebars = {
    name: []
    for name in ("changelog", "contributing", "deprecation", "faq", "install", "related_projects")
}
html_favicon = "_static/logo.svg"
html_theme_options = {
    "logo": {
        "text": "skvae",
        "image_light": "_static/logo.svg",
        "image_dark": "_static/logo.svg",
    },
    # Paths in the file start at the root of the host: see CONTRIBUTING.md.
    "switcher": {"json_url": "_static/switcher.json", "version_match": release},
    # A single line at 1,400 pixels.
    "navbar_persistent": ["search-button"],
    "navbar_end": ["version-switcher", "theme-switcher", "navbar-icon-links"],
}


def skip_scikit_learns(
    app: Any, what: str, name: str, obj: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out members inherited from scikit-learn: their docstrings link to its own pages."""
    return True if (getattr(obj, "__module__", None) or "").startswith("sklearn.") else None


def keep_plain_names(app: Any, env: Any, node: Any, contnode: Any) -> Any:
    """Leave out links from parameters such as `code` to other projects' objects of that name."""
    is_plain = node.get("reftype") == "obj" and "." not in node.get("reftarget", "")
    return contnode if is_plain else None


def copy_mathjax(app: Any, exception: Exception | None) -> None:
    """Copy what formulas need, a tenth of the files of the package sphinx-mathjax-offline."""
    if exception is None and app.builder.format == "html":
        source = Path(str(files("sphinx-mathjax-offline"))) / "static" / "mathjax"
        target = Path(app.outdir) / "_static" / "mathjax"
        copy_asset(source / "tex-chtml.js", target)
        copy_asset(source / "output" / "chtml" / "fonts", target / "output" / "chtml" / "fonts")


def setup(app: Any) -> None:
    """Connect the event handlers."""
    app.connect("build-finished", copy_mathjax)
    app.connect("missing-reference", keep_plain_names, priority=400)  # before intersphinx
    app.connect("autodoc-skip-member", skip_scikit_learns)
