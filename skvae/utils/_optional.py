"""Imports of optional dependencies."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

# Optional packages, and the extra of skvae that installs each package.
_EXTRAS = {
    "matplotlib": "plot",
    "narwhals": "arrow",
    "onnx": "onnx",
    "onnxscript": "onnx",
    "pandas": "data",
    "pooch": "data",
    "pyarrow": "arrow",
}


def import_optional(module: str, needed_by: str) -> Any:
    """Import a module of an optional package.

    Call this function where the module is used, so that ``import skvae`` works without the package.

    Parameters
    ----------
    module : str
        Name of the module, for example ``"matplotlib.pyplot"``.
    needed_by : str
        Subject of the error message: the class, function or task for which the package is needed.

    Returns
    -------
    module : module

    Raises
    ------
    ImportError
        If the package is not installed. The message names the package and the extra of skvae.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        raise ImportError(
            f"{needed_by} needs {package}, which is not installed. Install skvae with the extra "
            f"{_EXTRAS[package]!r}, or {package} alone."
        ) from error


def import_tqdm() -> Any:
    """Return the progress bar of tqdm: a widget in a notebook with ipywidgets, else text.

    In a notebook without ipywidgets, tqdm would advise to install ipywidgets, in a warning.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")
        from tqdm.auto import tqdm
    return tqdm
