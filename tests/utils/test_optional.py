"""Imports of optional packages."""

import skvae
from helpers import run_python

NOTEBOOK = """
import sys, types, warnings

class Shell:
    config = {"IPKernelApp": {}}

ipython = types.ModuleType("IPython")
ipython.get_ipython = Shell
ipython.version_info, ipython.display = (8, 0), types.ModuleType("IPython.display")
ipython.display.HTML = ipython.display.display = print
html = {name: None for name in ("IPython.html", "IPython.html.widgets")}
sys.modules |= {"IPython": ipython, "IPython.display": ipython.display, **html}
sys.modules["ipykernel.zmqshell"] = types.ModuleType("ipykernel.zmqshell")
"""


def test_a_notebook_without_ipywidgets_has_a_bar_and_no_warning():
    program = """
sys.modules["ipywidgets"] = None
import numpy as np
from skvae import VAETransformer

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    VAETransformer(max_iter=2, verbose=1).fit(np.eye(20))
print([str(warning.message) for warning in caught])
"""
    result = run_python(NOTEBOOK + program)
    assert result.stdout.strip() == "[]"
    assert "epoch" in result.stderr


def test_a_notebook_with_ipywidgets_has_a_widget():
    program = """
widgets = types.ModuleType("ipywidgets")
for name in ("FloatProgress", "HBox", "HTML", "DOMWidget", "Box"):
    setattr(widgets, name, Shell)
widgets.__version__ = "8.0.0"
sys.modules["ipywidgets"] = widgets
for name in ("skvae", "skvae.utils"):  # spares the import of torch
    sys.modules[name] = package = types.ModuleType(name)
    package.__path__ = [sys.argv[1] + name.removeprefix("skvae").replace(".", "/")]
from skvae.utils._optional import import_tqdm
print([base.__module__ for base in import_tqdm().__mro__])
"""
    assert "tqdm.notebook" in run_python(NOTEBOOK + program, *skvae.__path__).stdout
