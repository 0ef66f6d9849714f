"""Condition columns: columns of X that the model is given, as numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from ..models import Condition
from ..serialization import serializable
from ..utils import import_optional
from ._condition_column import KINDS, ConditionColumn, Place
from ._entries import INEXACT, UnsuitableEntryError
from ._fit_warnings import warn_about_classes
from ._numbers import list_cells
from ._table_columns import get_column, n_columns, replace_column
from ._validation import column_names, describe_place


@serializable
class ConditionReader:
    """Reads the condition columns of X.

    Parameters
    ----------
    columns : list of ConditionColumn
    """

    def __init__(self, columns: list[ConditionColumn]) -> None:
        self.columns = columns

    def _check_invariants(self) -> None:
        are_columns = all(isinstance(column, ConditionColumn) for column in self.columns)
        if not are_columns or len(set(self.positions)) < len(self.columns):
            raise ValueError("its condition columns are invalid")

    @property
    def positions(self) -> list[int]:
        """Positions of the columns in X."""
        return [column.position for column in self.columns]

    @property
    def names(self) -> list[Any]:
        """Names of the columns, or positions if X has no names."""
        return [column.name for column in self.columns]

    @property
    def kinds(self) -> dict[Any, Any]:
        """Kinds of the columns, by name."""
        return {column.name: column.kind for column in self.columns}

    def for_module(self, observed: np.ndarray) -> tuple[Condition, ...]:
        """Return the columns as the module sees them.

        Parameters
        ----------
        observed : ndarray of shape (n_features,)
            Whether a column of X is a column of rows.
        """
        positions = np.cumsum(observed) - 1
        return tuple(
            Condition(int(positions[column.position]), column.kind, column.numbers)  # type: ignore[arg-type]
            for column in self.columns
        )

    def code(self, X: Any) -> Any:
        """Return X with codes in place of categories that are no numbers."""
        if getattr(X, "ndim", 2) != 2:
            return X  # an error later, as for another number of columns
        for column in self.columns:
            if column.has_codes and column.position < n_columns(X):
                codes = column.read(get_column(X, column.position), _place_in(X, column.position))
                X = replace_column(X, column.position, codes)
        return X

    def read(self, frame: Any) -> np.ndarray:
        """Return the columns of a data frame of pandas as numbers, (n, n_conditions)."""
        return np.column_stack(
            [
                _read(column, frame.iloc[:, column.position], _place_in(frame, column.position))
                for column in self.columns
            ]
        ).astype(np.float64)

    def check(self, rows: Any, observed: np.ndarray, source: Any) -> None:
        """Raise `ValueError` if a condition in rows of numbers is missing or unknown.

        Parameters
        ----------
        rows : ndarray or CSR matrix of shape (n_samples, n_observed)
        observed : ndarray of shape (n_features,)
            Whether a column of X is a column of rows.
        source : object
            Data that the rows were read from, for the label of the row in errors.
        """
        for column, condition in zip(self.columns, self.for_module(observed), strict=True):
            column.check(get_column(rows, condition.position), _place_in(source, column.position))

    def keys_in(self, given: Mapping[Any, Any]) -> list[Any]:
        """Return the keys of condition columns in a mapping of conditions."""
        return [key for column in self.columns for key in _find_key(given, column)]

    def expand(self, conditions: Any, n_rows: int) -> Expanded:
        """Return the conditions of a user for a number of rows.

        Parameters
        ----------
        conditions : mapping or data frame
            A value for each condition column, by name or position, or `n_rows` values.

        Raises
        ------
        ValueError
            If conditions are absent, unknown or invalid.
        """
        if conditions is None:
            example = ", ".join(f"{name!r}: ..." for name in self.names)
            raise ValueError(
                f"The model has the condition columns {self.names}: pass "
                f"conditions={{{example}}}, with a value for all rows or a value for each row."
            )
        given = _as_mapping(conditions)
        keys = [_find_key(given, column) for column in self.columns]
        absent = [column.name for column, key in zip(self.columns, keys, strict=True) if not key]
        if absent:
            raise ValueError(
                f"conditions must name all of {self.names}; absent: {absent}. The argument names "
                f"{list(given)}."
            )
        unknown = [key for key in given if not any(key in found for found in keys)]
        if unknown and isinstance(conditions, Mapping):
            raise ValueError(
                f"conditions names {unknown}, but the condition columns are {self.names}."
            )
        values, numbers = [], []
        for column, (key,) in zip(self.columns, keys, strict=True):
            cells = _cells_for_rows(key, given[key], n_rows)
            place = _place_in_conditions(key)
            read = _read(column, cells, place).astype(np.float64)
            column.check(read, place)
            values.append(cells)
            numbers.append(read)
        return Expanded(values, np.column_stack(numbers))


class Expanded(NamedTuple):
    """Conditions for a number of rows, by column."""

    values: list[np.ndarray]  # arrays of objects, (n,)
    numbers: np.ndarray  # (n, n_conditions)

    def to_frame(self) -> Any:
        """Return the values as a data frame of pandas, (n, n_conditions), without names."""
        pandas = import_optional("pandas", "A table with conditions")
        return pandas.DataFrame(dict(enumerate(self.values)), dtype=object)

    def take(self, index: np.ndarray) -> Expanded:
        """Return the conditions of some rows."""
        return Expanded([values[index] for values in self.values], self.numbers[index])


def fit_conditions(condition_columns: Any, X: Any) -> ConditionReader | None:
    """Return a reader of the condition columns of X, or None if there are none.

    Parameters
    ----------
    condition_columns : list, mapping or None
        Names or positions of columns, with kinds if a mapping.
    X : array, sparse matrix or data frame of shape (n_samples, n_features)
        Training data.

    Raises
    ------
    ValueError
        If a column or a kind is unknown, if a column is named twice, or if there is no other
        column.
    """
    if condition_columns is None or not len(condition_columns) or getattr(X, "ndim", 2) != 2:
        return None  # data of another shape are refused later
    names = column_names(X)
    columns: list[ConditionColumn] = []
    for key in condition_columns:
        key = key.item() if isinstance(key, np.generic) else key
        position = _position(key, names, n_columns(X))
        kind = condition_columns[key] if isinstance(condition_columns, Mapping) else None
        if kind is not None and kind not in KINDS:
            raise ValueError(f"condition_columns[{key!r}] must be one of {KINDS}; got {kind!r}.")
        name = position if names is None else names[position]
        if any(column.position == position for column in columns):
            raise ValueError(f"condition_columns names the column {name!r} twice.")
        columns.append(ConditionColumn(position, name, kind))
    if len(columns) == n_columns(X):
        raise ValueError("condition_columns has all columns of X: leave a column to model.")
    may_be_classes = []
    for column in columns:
        values, is_inferred = get_column(X, column.position), column.kind is None
        try:
            column.fit(values)
            if is_inferred and column.may_have_classes(values):
                may_be_classes.append(column.name)
        except UnsuitableEntryError as error:
            raise _unsuitable(error, _place_in(X, column.position)) from None
    reader = ConditionReader(columns)
    warn_about_classes(may_be_classes, reader.kinds)
    return reader


def are_conditions(condition_columns: Any, reader: ConditionReader | None, n_features: int) -> bool:
    """Return whether a parameter names the condition columns of a fitted reader."""
    columns = [] if reader is None else reader.columns
    keys = [] if condition_columns is None else list(condition_columns)
    if len(keys) != len(columns):
        return False
    for key, column in zip(keys, columns, strict=True):
        position = key % n_features if isinstance(key, Integral) else None
        is_same = key == column.name or position == column.position
        if isinstance(condition_columns, Mapping):
            is_same = is_same and condition_columns[key] == column.kind
        if not is_same:
            return False
    return True


def _position(key: Any, names: list[Any] | None, n_columns: int) -> int:
    """Return the position of a column of X, given by name or position."""
    if names is not None and key in names:
        return names.index(key)
    if isinstance(key, int) and not isinstance(key, bool):
        if -n_columns <= key < n_columns:
            return int(key) % n_columns
        raise ValueError(f"condition_columns has {key}, but X has {n_columns} columns.")
    if names is None:
        raise ValueError(
            f"condition_columns names {key!r}, but the columns of X have no names. Pass a data "
            "frame, or the position of the column."
        )
    raise ValueError(f"condition_columns names {key!r}, which X does not have. X has {names}.")


def _read(column: ConditionColumn, values: Any, place: Place) -> np.ndarray:
    """Return a number for each value, (n,), or raise `ValueError` with its place."""
    try:
        return column.read(values, place)
    except UnsuitableEntryError as error:
        raise _unsuitable(error, place) from None


def _unsuitable(error: UnsuitableEntryError, place: Place) -> ValueError:
    if error.content == INEXACT:
        return ValueError(
            f"The condition {error.value} in {place(error.row)} is one of the {INEXACT}. Convert "
            "the column to strings."
        )
    return ValueError(f"Conditions must be numbers, but {error.value!r} is in {place(error.row)}.")


def _place_in(X: Any, position: int) -> Place:
    return lambda row: describe_place(X, position, row)


# ---- Conditions of users -------------------------------------------------------------


def _as_mapping(conditions: Any) -> Mapping[Any, Any]:
    names = column_names(conditions)
    if names is not None:
        return {name: get_column(conditions, j) for j, name in enumerate(names)}
    if isinstance(conditions, Mapping):
        return conditions
    raise TypeError(
        f"conditions must be a mapping from columns to values, or a data frame; got {conditions!r}."
    )


def _find_key(given: Iterable[Any], column: ConditionColumn) -> list[Any]:
    """Return the key of a column in conditions, in a list, or an empty list."""
    is_number = isinstance(column.name, Integral)  # a position may be the name of another column
    keys = (column.name,) if is_number else (column.name, column.position)
    return [key for key in keys if key in given][:1]


def _cells_for_rows(key: Any, value: Any, n_rows: int) -> np.ndarray:
    """Return a condition as an array of objects, with a value for each row."""
    cells = np.empty(n_rows, dtype=object)
    is_scalar = isinstance(value, str | bytes | tuple) or not hasattr(value, "__iter__")
    if is_scalar or np.ndim(value) == 0:
        cells[:] = [value] * n_rows
        return cells
    values = list_cells(value) if hasattr(value, "dtype") or hasattr(value, "type") else [*value]
    if len(values) != n_rows:
        raise ValueError(
            f"conditions[{key!r}] has {len(values)} values for {n_rows} rows. Pass one value for "
            "all rows, or a value for each row."
        )
    cells[:] = values
    return cells


def _place_in_conditions(key: Any) -> Place:
    return lambda row: f"conditions[{key!r}], row {row}"
