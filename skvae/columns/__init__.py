"""Columns of any type as bin numbers, and back: the encoding of tables.

`read_table` reads a table of any library as a data frame of pandas in plain dtypes. `FrameCodec`
divides the values of each column into bins, encodes such data frames as arrays of bin numbers, and
decodes bin numbers. `TableFormat.write` returns tables of the library and the dtypes of the
training data. To add a kind of column, derive a class from `ColumnCodec`.

Needs pandas at import, unlike the other packages of skvae. May import likelihoods, serialization
and utils.
"""

from __future__ import annotations

from ._base import ColumnCodec
from ._casts import check_restored, is_dtype
from ._errors import column_in_errors
from ._frame import FrameCodec
from ._kinds import infer_kind
from ._tables import Table, TableFormat, read_table

__all__ = [
    "ColumnCodec",
    "FrameCodec",
    "Table",
    "TableFormat",
    "check_restored",
    "column_in_errors",
    "infer_kind",
    "is_dtype",
    "read_table",
]
