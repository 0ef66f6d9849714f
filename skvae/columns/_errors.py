"""Names of columns in error messages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from decimal import InvalidOperation
from typing import Any

_REPLACE = "replace the value, for example by None"


def column_in_errors(name: Any, label: str = "X") -> AbstractContextManager[None]:
    """Add the name of a column, and of its table, to errors about its values."""
    return place_in_errors(f"Column {name!r} of {label}")


@contextmanager
def place_in_errors(place: str) -> Iterator[None]:
    """Add the place of values to errors about the values, as TypeErrors and ValueErrors."""
    try:
        yield
    except (TypeError, ValueError, NotImplementedError, ArithmeticError) as error:
        cls = TypeError if isinstance(error, TypeError | NotImplementedError) else ValueError
        # The text of the exception is the name of its class.
        is_signal = isinstance(error, InvalidOperation)
        problem = f"it has a signalling NaN: {_REPLACE}" if is_signal else error
        raise cls(f"{place} can't be used: {problem}.") from error
