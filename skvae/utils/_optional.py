"""Packages that only parts of skvae need."""

from __future__ import annotations

import importlib
from typing import Any

# Which extra of skvae installs them.
_EXTRAS = {
    "matplotlib": "plot",
    "onnx": "onnx",
    "onnxscript": "onnx",
    "pandas": "data",
    "pooch": "data",
    "pyarrow": "arrow",
}


def optional(module: str) -> Any:
    """Import a module of such a package when it is needed, and not before.

    Raises
    ------
    ImportError
        If the package is missing, with the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(
            f"This part of skvae needs {package}: pip install 'skvae[{_EXTRAS[package]}]'."
        ) from error
