"""Tables of any library as data frames of pandas in plain dtypes, and back."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn import config_context
from sklearn.utils import check_array

from ..serialization import serializable
from ..utils import import_optional, index_columns
from ._casts import check_restored, is_dtype
from ._errors import column_in_errors
from ._formats import ArrowFormat, ColumnFormat, PandasFormat, read_column

# Modules with the class `DataFrame` of libraries whose data frames are like those of pandas.
_PANDAS_LIKE = {"modin": "modin.pandas"}
# Methods of tables with the interface of Arrow or of data frames.
_INTERFACES = ("__arrow_c_stream__", "__arrow_c_array__", "__dataframe__")
# Methods of queries and streams, and how to get a table in memory.
_REMEDIES = {"collect": "X.collect()", "compute": "X.compute()", "read_next_batch": "X.read_all()"}


class Table(NamedTuple):
    """A table as codecs see it, and how to write results like it.

    Attributes
    ----------
    frame : DataFrame of shape (n, n_columns)
        Values in plain dtypes.
    table_format : TableFormat
        Format of the table.
    """

    frame: Any
    table_format: TableFormat


@serializable
class TableFormat:
    """Library and dtypes of a table.

    Parameters
    ----------
    library : str
        "pandas", "polars", "pyarrow", "numpy", or a library with data frames like those of pandas.
    columns : list of ColumnFormat
        Formats of the columns.
    dtype : dtype, default=None
        Dtype of an array. None stands for the common dtype of the columns.
    """

    def __init__(self, library: str, columns: list[Any], dtype: Any = None) -> None:
        self.library = library
        self.columns = columns
        self.dtype = dtype

    def _check_invariants(self) -> None:
        check_restored(self.library in ("pandas", "polars", "pyarrow", "numpy", *_PANDAS_LIKE))
        check_restored(all(isinstance(column, ColumnFormat) for column in self.columns))
        check_restored(self.dtype is None or is_dtype(self.dtype))

    @property
    def is_array(self) -> bool:
        """Whether the table is an array, without names of columns."""
        return self.library == "numpy"

    def write(self, frame: Any, selected: np.ndarray, *, library: str | None = None) -> Any:
        """Return a data frame in plain dtypes as a table of the library.

        Parameters
        ----------
        frame : DataFrame of shape (n, n_selected + n_further)
            The selected columns, and then further columns, which are written in their dtypes.
        selected : ndarray of bool, of shape (n_columns,)
            Columns of the table that are in `frame`.
        library : {"pandas"} or None, default=None
            Library of the result, instead of the library of the table.
        """
        library = library or self.library
        is_arrow = library in ("polars", "pyarrow")
        formats = [self.columns[j] for j in np.flatnonzero(selected)]
        formats += [PandasFormat(column) for _, column in frame.iloc[:, len(formats) :].items()]
        columns = []
        for column_format, (name, column) in zip(formats, frame.items(), strict=True):
            with column_in_errors(name):
                write = column_format.to_arrow if is_arrow else column_format.write
                columns.append(write(column))
        if is_arrow:
            return _join_arrow(columns, frame, library)
        table = pd.concat(columns, axis=1).set_axis(frame.columns, axis=1)
        if library == "numpy":
            return table.to_numpy() if self.dtype is None else table.to_numpy(dtype=self.dtype)
        if library == "pandas":
            return table
        return importlib.import_module(_PANDAS_LIKE[library]).DataFrame(table)


def read_table(X: Any, estimator: Any = None, *, label: str = "X") -> Table:
    """Read a table column by column.

    Parameters
    ----------
    X : DataFrame, table or array-like of shape (n, n_columns)
        Data frame of pandas, polars or modin; a table of pyarrow; any object with the
        interface of Arrow (``__arrow_c_stream__``) or of data frames (``__dataframe__``); or an
        array.
    estimator : object, default=None
        Estimator named in error messages.
    label : str, default="X"
        Name of the table in error messages.

    Returns
    -------
    table : Table
        Results for objects with an interface only are tables of pyarrow.

    Raises
    ------
    ImportError
        If reading X needs a package that is not installed.
    TypeError, ValueError
        If X is not a table in memory, is empty, has duplicate names of columns, or has a column
        that cannot be read.
    """
    if hasattr(X, "to_native"):  # narwhals
        X = X.to_native()
    if isinstance(X, pd.DataFrame):
        return _read_frame(X, "pandas", label)
    _check_in_memory(X, label)
    library = type(X).__module__.split(".")[0]
    if hasattr(X, "iloc") and hasattr(X, "columns"):
        return _read_pandas_like(X, library, label)
    if library == "polars" and hasattr(X, "columns"):
        return _read_arrow(_polars_columns(X, label), "polars", label)
    is_series = len(getattr(X, "shape", ())) == 1
    if not is_series and any(hasattr(X, method) for method in _INTERFACES):
        return _read_arrow(_arrow_columns(X, label), "pyarrow", label)
    return _read_array(X, estimator, label)


def _check_in_memory(X: Any, label: str) -> None:
    """Raise a TypeError if X is a query or a stream rather than a table in memory."""
    cls = type(X)  # some properties of a query compute
    for method, remedy in _REMEDIES.items():
        if hasattr(cls, method) and (hasattr(cls, "columns") or hasattr(cls, "schema")):
            raise TypeError(
                f"{label} is a {cls.__name__}, which is not in memory: pass the result of {remedy}."
            )


# ---- Data frames like those of pandas ----------------------------------------------------------


def _read_frame(X: Any, library: str, label: str) -> Table:
    _check_shape(X.shape, label)
    _check_names(X.columns)
    frame, formats = X, []
    for j, name in enumerate(X.columns):
        values = X.iloc[:, j]
        with column_in_errors(name, label):
            plain, column_format = read_column(values)
        formats.append(column_format)
        if plain is not values:
            frame = X.copy(deep=False) if frame is X else frame
            frame.isetitem(j, plain)
    return Table(frame, TableFormat(library, formats))


def _check_shape(shape: tuple[int, ...], label: str) -> None:
    """Raise a ValueError if a table has no rows or no columns."""
    if 0 in shape:
        raise ValueError(f"{label} has shape {shape}, but needs at least one row and one column.")


def _check_names(names: Any) -> None:
    if not pd.Index(names).is_unique:
        raise ValueError(
            f"Names of columns must differ; got {list(names)}. Rename the duplicate columns."
        )


# ---- Arrow ---------------------------------------------------------------------------------------


def _read_arrow(columns: dict[str, Any], library: str, label: str) -> Table:
    """Read columns of pyarrow, by name."""
    plain, formats = {}, []
    for name, values in columns.items():
        with column_in_errors(name, label):
            formats.append(ArrowFormat(values))
            plain[name] = formats[-1].read(values)
    frame = pd.DataFrame(plain, copy=False)
    _check_shape((len(frame), len(columns)), label)
    return Table(frame, TableFormat(library, formats))


def _arrow_columns(X: Any, label: str) -> dict[str, Any]:
    """Return the columns of a table with the interface of Arrow or of data frames.

    An index of pandas that is stored with the columns is left out.
    """
    pa = import_optional("pyarrow", "Reading tables of Arrow")
    try:
        if hasattr(X, "__arrow_c_stream__") or hasattr(X, "__arrow_c_array__"):
            table = pa.table(X)
        else:
            from pyarrow.interchange import from_dataframe

            table = from_dataframe(X)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise TypeError(
            f"{label} is a {type(X).__name__} that is no table of columns: {error}"
        ) from error
    _check_names(table.column_names)
    index = index_columns(table.schema)
    return {name: table[name] for name in table.column_names if name not in index}


def _polars_columns(X: Any, label: str) -> dict[str, Any]:
    pa = import_optional("pyarrow", "Reading data frames of polars")
    import polars as pl

    columns = {}
    for name, dtype in X.schema.items():
        with column_in_errors(name, label):
            if str(dtype) in ("Object", "Int128", "UInt128"):
                raise TypeError(
                    f"its dtype {dtype} has no counterpart in Arrow: cast the column, for example "
                    "to pl.Int64 or pl.String"
                )
            values = X.get_column(name).to_arrow()
            if isinstance(dtype, pl.Enum):  # early versions of polars do not mark the order
                parts = values.indices, values.dictionary
                values = pa.DictionaryArray.from_arrays(*parts, ordered=True)
            columns[name] = pa.chunked_array([values])
    return columns


def _join_arrow(columns: list[Any], frame: Any, library: str) -> Any:
    """Return columns of pyarrow, with the names of a data frame, as a table of the library."""
    import pyarrow as pa

    table = pa.Table.from_arrays(columns, names=list(frame.columns))
    if library == "pyarrow":
        return table
    import polars as pl

    result: Any = pl.from_arrow(table)
    casts = []
    for name, values in frame.items():
        if isinstance(values.dtype, pd.CategoricalDtype):
            categories = values.dtype.categories.tolist()
            dtype = pl.Enum(categories) if values.dtype.ordered else pl.Categorical
            casts.append(pl.col(name).cast(pl.String).cast(dtype))
    return result.with_columns(casts)


# ---- Arrays --------------------------------------------------------------------------------------


def _read_array(X: Any, estimator: Any, label: str) -> Table:
    """Read an array. Lists are read column by column: NumPy would turn numbers into strings."""
    if isinstance(X, dict) and not issparse(X):  # a sparse matrix may be a dict
        raise TypeError(f"{label} is a dict: pass pandas.DataFrame(X).")
    if isinstance(X, np.ma.MaskedArray):
        kind = "float" if X.dtype.kind in "fiub" else "object"  # NaN would become text
        raise TypeError(
            f"{label} is a masked array: pass numpy.ma.array(X, dtype={kind}).filled(numpy.nan), "
            "or a data frame with missing values."
        )
    dtype = object if isinstance(X, list | tuple) else None
    with config_context(array_api_dispatch=False):
        values = check_array(X, dtype=dtype, ensure_all_finite=False, estimator=estimator)
    table = _read_frame(pd.DataFrame(values), "numpy", label)
    if dtype is None:
        table.table_format.dtype = values.dtype
    else:
        plain = pd.concat([column for _, column in table.frame.items()], axis=1)
        table = _read_frame(plain, "numpy", label)
    return table


def _read_pandas_like(X: Any, library: str, label: str) -> Table:
    narwhals = import_optional("narwhals", f"Reading data frames of {library}")
    if library not in _PANDAS_LIKE:
        raise TypeError(f"{label} is a {type(X).__name__} of {library}: convert it to pandas.")
    return _read_frame(narwhals.from_native(X, eager_only=True).to_pandas(), library, label)
