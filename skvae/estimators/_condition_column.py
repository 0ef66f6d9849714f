"""A condition column, whose values the model sees as numbers."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Self

import numpy as np

from ..serialization import serializable
from ._entries import is_missing
from ._numbers import column_content, list_cells, read_column

KINDS = ("numeric", "categorical", "exposure")
# One-hot columns for more categories would need more memory than the modelled columns.
_MAX_CATEGORIES = 1000
# Integers with at most as many values, in at least as many rows for each, may be classes.
_MAX_CLASSES, _MIN_ROWS_PER_CLASS = 20, 10
# Largest number of categories in an error message.
_MAX_LISTED = 20
# Describes the place of a row of a column, for errors.
Place = Callable[[int], str]


@serializable
class ConditionColumn:
    """Reads the values of a condition column as numbers.

    Parameters
    ----------
    position : int
        Position of the column in X.
    name : object
        Name of the column, or its position if X has no names.
    kind : {"numeric", "categorical", "exposure"} or None
        Kind of the column. None infers the kind from the dtype.

    Attributes
    ----------
    categories : list
        Known categories, in the order of their codes. Empty for other kinds.
    has_codes : bool
        Whether the numbers of categories are their positions in `categories`. Categories that are
        numbers have no codes.
    """

    categories: list[Any]
    has_codes: bool

    def __init__(self, position: int, name: Any, kind: str | None) -> None:
        self.position = position
        self.name = name
        self.kind = kind

    def _check_invariants(self) -> None:
        is_valid = self.kind in KINDS and type(self.position) is int and self.position >= 0
        if not is_valid or not isinstance(self.categories, list):
            raise ValueError("a condition column is invalid")

    def fit(self, values: Any) -> Self:
        """Learn the kind and the categories from a column of a frame or an array."""
        content = column_content(values)
        if self.kind is None:
            self.kind = self._infer_kind(content)
        self.categories, self.has_codes = [], False
        if self.kind == "categorical":
            self.has_codes = content not in ("numbers", "booleans")
            self.categories = (
                _sorted_categories(list_cells(values))
                if self.has_codes
                else _unique_numbers(read_column(values, self.position))
            )
        if len(self.categories) > _MAX_CATEGORIES:
            raise ValueError(
                f"The condition column {self.name!r} has {len(self.categories)} categories, but at "
                f"most {_MAX_CATEGORIES} are possible. Merge rare categories, or drop the column "
                "if the values are identifiers."
            )
        return self

    def _infer_kind(self, content: str) -> str:
        if content == "times":
            raise ValueError(
                f"The condition column {self.name!r} has times. Convert the column to numbers, "
                "such as the month, or declare the column 'categorical'."
            )
        return "numeric" if content == "numbers" else "categorical"

    def may_have_classes(self, values: Any) -> bool:
        """Return whether a numeric column for training has few different integers.

        Two values are the same to the model as numbers and as categories.
        """
        if self.kind != "numeric":
            return False
        numbers = read_column(values, self.position)
        different = np.unique(numbers[: _MAX_CLASSES * 1000])
        return bool(
            2 < len(different) <= min(_MAX_CLASSES, len(numbers) / _MIN_ROWS_PER_CLASS)
            and (different == np.round(different)).all()
        )

    @property
    def numbers(self) -> tuple[float, ...]:
        """Numbers of the categories, as the module sees them."""
        known = range(len(self.categories)) if self.has_codes else self.categories
        return tuple(map(float, known))

    def read(self, values: Any, place: Place) -> np.ndarray:
        """Return a number for each value, (n,).

        Raises
        ------
        ValueError
            If a category is missing or unknown.
        """
        if not self.has_codes:
            return read_column(values, self.position)
        known = {category: code for code, category in enumerate(self.categories)}
        codes = np.empty(len(values), np.float32)  # exact, and no wider than the other columns
        for row, value in enumerate(list_cells(values)):
            if isinstance(value, Hashable) and value in known:
                codes[row] = known[value]
            elif is_missing(value):
                raise _absent("missing", place(row))
            else:
                raise self._unknown(value, place(row))
        return codes

    def check(self, numbers: np.ndarray, place: Place) -> None:
        """Raise `ValueError` if a number is missing, infinite, unknown, or no exposure."""
        bad = ~np.isfinite(numbers)
        if bad.any():
            content = "missing" if np.isnan(numbers[bad.argmax()]) else "infinite"
            raise _absent(content, place(int(bad.argmax())))
        if self.kind == "categorical":
            dtype = numbers.dtype if numbers.dtype.kind == "f" else np.float64
            bad = ~np.isin(numbers, np.array(self.numbers, dtype))
            if bad.any():
                raise self._unknown(numbers[bad.argmax()].item(), place(int(bad.argmax())))
        elif self.kind == "exposure" and (bad := numbers <= 0).any():
            raise ValueError(
                f"Exposures must be positive; got {numbers[bad.argmax()]} in "
                f"{place(int(bad.argmax()))}."
            )

    def _unknown(self, value: Any, place: str) -> ValueError:
        listed = ", ".join(map(repr, self.categories[:_MAX_LISTED]))
        if len(self.categories) > _MAX_LISTED:
            listed += f", ... ({len(self.categories)} categories)"
        return ValueError(f"Unknown category {value!r} in {place}. Known categories: {listed}.")


def _absent(content: str, place: str) -> ValueError:
    return ValueError(
        f"Conditions must be known, but the condition in {place} is {content}. Fill the value, or "
        "drop the row."
    )


def _unique_numbers(numbers: np.ndarray) -> list[float]:
    return np.unique(numbers[~np.isnan(numbers)]).tolist()


def _sorted_categories(cells: np.ndarray) -> list[Any]:
    """Return the different values of cells, in order if they have an order."""
    present = dict.fromkeys(cell for cell in cells if not is_missing(cell))
    try:
        return sorted(present)
    except TypeError:
        return list(present)
