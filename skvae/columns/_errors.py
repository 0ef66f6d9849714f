"""Names of columns in error messages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import InvalidOperation
from typing import Any

_REPLACE = "replace the value, for example by None"


@contextmanager
def column_in_errors(name: Any, place: str = "Column {!r} of X") -> Iterator[None]:
    """Add the name of a column to errors about its values, as TypeErrors and ValueErrors."""
    try:
        yield
    except (TypeError, ValueError, NotImplementedError, ArithmeticError) as error:
        cls = TypeError if isinstance(error, TypeError | NotImplementedError) else ValueError
        # The text of the exception is the name of its class.
        is_signal = isinstance(error, InvalidOperation)
        problem = f"it has a signalling NaN: {_REPLACE}" if is_signal else error
        raise cls(f"{place.format(name)} can't be used: {problem}.") from error
