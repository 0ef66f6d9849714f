"""Tables read as the real table, with errors that name the table and the column."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..columns import read_table
from ._columns import column_reader


class TableReader:
    """Reader of tables with the columns of the real table.

    Parameters
    ----------
    real : DataFrame of shape (n, n_columns)
        Real table, which decides what each column is.
    label : str
        Description of the real table in error messages.

    Attributes
    ----------
    names : list
        Names of the columns.
    columns : list of ColumnReader
        Reader of each column.

    Raises
    ------
    TypeError, ValueError
        If `real` is not a data frame, has no rows or columns, has columns of the same name, or has
        values without a meaning, such as infinite numbers.
    """

    def __init__(self, real: Any, label: str) -> None:
        frame = check_frame(real, label)
        self.label = label
        self.names = list(frame.columns)
        self.columns = [column_reader(column) for _, column in frame.items()]

    @property
    def is_numeric(self) -> list[bool]:
        """Whether each column is numeric."""
        return [column.is_numeric for column in self.columns]

    def read(self, table: Any, label: str) -> list[np.ndarray]:
        """Return the values of each column, see `ColumnReader.read`.

        Parameters
        ----------
        table : DataFrame of shape (n, n_columns)
            Table with the columns of the real table, in any order.
        label : str
            Description of the table in error messages.

        Raises
        ------
        TypeError, ValueError
            If `table` is not a data frame, has other columns, or has a value that cannot be read
            as a value of the real column.
        """
        frame = check_frame(table, label)
        self._check_names(list(frame.columns), label)
        position = {name: j for j, name in enumerate(frame.columns)}
        values = []
        for name, reader in zip(self.names, self.columns, strict=True):
            try:
                values.append(reader.read(frame.iloc[:, position[name]]))
            except ValueError as error:
                raise ValueError(f"Column {name!r} of {label} {error}.") from error
        return values

    def _check_names(self, names: list[Any], label: str) -> None:
        absent = [name for name in self.names if name not in names]
        additional = [name for name in names if name not in self.names]
        if absent or additional:
            found = {"lacks": absent, "also has": additional}
            listed = [f"{verb} {columns}" for verb, columns in found.items() if columns]
            raise ValueError(
                f"All tables must have the same columns as {self.label}; {label} "
                f"{' and '.join(listed)}."
            )


def check_frame(table: Any, label: str) -> pd.DataFrame:
    """Return a table of any library as a data frame of pandas in plain dtypes.

    Raises
    ------
    TypeError, ValueError
        If `table` is not a table in memory, has no rows or columns, or has columns of the same
        name.
    """
    if not _has_columns(table):
        raise TypeError(
            f"{label} must be a data frame with named columns; got {type(table).__name__}."
        )
    shape = getattr(table, "shape", ())
    for length, noun in zip(shape, ("rows", "columns"), strict=False):
        if length == 0:
            raise ValueError(f"{label} must have at least one row and one column; got no {noun}.")
    names = pd.Index(_column_names(table))
    if not names.is_unique:
        name = names[names.duplicated()][0]
        raise ValueError(
            f"The columns of {label} must have different names; {name!r} occurs more than once."
        )
    return read_table(table, label=label).frame


def _column_names(table: Any) -> Any:
    """Return the names of the columns of a frame of pandas or Arrow; in others, names differ."""
    names = table.columns if isinstance(table, pd.DataFrame) else ()
    return getattr(table, "column_names", names)  # `columns` of Arrow holds the values


def _has_columns(table: Any) -> bool:
    """Return whether an object is a table with named columns rather than an array or a column."""
    cls = type(table)  # some properties of a query compute
    interfaces = ("iloc", "__arrow_c_stream__", "__dataframe__", "to_native", "collect")
    names = ("columns", "column_names", "schema")
    is_table = any(hasattr(cls, name) for name in interfaces)
    return is_table and any(hasattr(cls, name) for name in names)
