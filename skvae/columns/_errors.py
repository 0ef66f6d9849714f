"""Names of columns in error messages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def column_in_errors(name: Any, place: str = "Column {!r} of X") -> Iterator[None]:
    """Add the name of a column to errors about its values, as TypeErrors and ValueErrors."""
    try:
        yield
    except (TypeError, ValueError, NotImplementedError, ArithmeticError) as error:
        cls = TypeError if isinstance(error, TypeError | NotImplementedError) else ValueError
        raise cls(f"{place.format(name)} can't be used: {error}.") from error
