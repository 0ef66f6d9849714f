"""Warnings with the location of the user's code."""

from __future__ import annotations

import inspect
import os

import sklearn

_PACKAGES = (
    os.path.dirname(os.path.dirname(__file__)) + os.sep,
    os.path.dirname(sklearn.__file__) + os.sep,
)


def find_stack_level() -> int:
    """Return the `stacklevel` of the first caller outside skvae and scikit-learn."""
    frame = inspect.currentframe()
    frame = frame.f_back if frame else None
    level = 1
    while frame and frame.f_back and frame.f_code.co_filename.startswith(_PACKAGES):
        frame = frame.f_back
        level += 1
    return level
