"""Columns in any dtype of pandas and Arrow as columns in plain dtypes, and back.

Codecs see plain columns only: NumPy's dtypes in native byte order, nullable dtypes, strings,
categories, times, periods, intervals, and objects.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import pandas as pd

from ..serialization import serializable
from ._arrow_types import arrow_to_plain, check_arrow_type, plain_to_arrow
from ._casts import check_restored, is_dtype, raise_inexpressible, to_categories
from ._units import Numbers


class ColumnFormat(ABC):
    """The dtype of a column as users store the column. Formats of the same dtype are equal."""

    @property
    @abstractmethod
    def stored_dtype(self) -> Any:
        """Dtype of pandas, or data type of pyarrow."""

    @property
    @abstractmethod
    def is_number(self) -> bool:
        """Whether the dtype is one of integers or floats."""

    @abstractmethod
    def write(self, values: Any) -> Any:
        """Convert a plain Series to the dtype of the column."""

    @abstractmethod
    def to_arrow(self, values: Any) -> Any:
        """Convert a plain Series to an array of pyarrow."""

    def cast(self, values: Any, dtype: Any) -> Any:
        """Return a plain Series in the plain dtype of the column, unless a value would change.

        Parameters
        ----------
        values : Series
            Values in any dtype, with or without missing values.
        dtype : pandas or numpy dtype
            Plain dtype of the column.

        Raises
        ------
        ValueError
            If the column cannot express a value.
        """
        is_present = values.notna().to_numpy()
        objects = np.full(len(values), None, dtype=object)
        if is_present.any():
            objects[is_present] = self._cast_present(values[is_present].astype(object), dtype)
        return pd.Series(objects, index=values.index, dtype=object).astype(dtype)

    def _cast_present(self, present: Any, dtype: Any) -> Any:
        """Return objects as the column would store them."""
        try:
            if isinstance(dtype, pd.CategoricalDtype):
                return to_categories(present, dtype).astype(object)
            if self.is_number:
                return Numbers(dtype).cast(present).astype(object)
            stored = read_column(self.write(present))[0].astype(object)
            is_lost = [bool(a != b) for a, b in zip(present, stored, strict=True)]
        except (TypeError, ValueError, NotImplementedError, OverflowError):
            raise_inexpressible(present, self.stored_dtype)
        if any(is_lost):
            raise_inexpressible(present[is_lost], self.stored_dtype)
        return stored

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ColumnFormat) and self.stored_dtype == other.stored_dtype

    __hash__ = None  # type: ignore[assignment]


@serializable
class PandasFormat(ColumnFormat):
    """A dtype of pandas or NumPy.

    Parameters
    ----------
    values : Series
        Column of a data frame.
    """

    def __init__(self, values: Any) -> None:
        self.dtype = values.dtype
        self.missing: Any = None
        if pd.api.types.is_object_dtype(self.dtype):
            is_missing = values.isna().to_numpy()
            # None, NaN, pandas.NA or NaT.
            self.missing = values.iloc[int(is_missing.argmax())] if is_missing.any() else None

    def _check_invariants(self) -> None:
        check_restored(is_dtype(self.dtype))

    @property
    def stored_dtype(self) -> Any:
        return self.dtype

    @property
    def is_number(self) -> bool:
        return pd.api.types.is_numeric_dtype(self.dtype) and not pd.api.types.is_bool_dtype(
            self.dtype
        )

    def write(self, values: Any) -> Any:
        if not pd.api.types.is_object_dtype(self.dtype):
            return values if values.dtype == self.dtype else values.astype(self.dtype)
        objects = values.astype(object)
        is_missing = values.isna().to_numpy()
        if is_missing.any():
            array = objects.to_numpy(copy=True)
            array[is_missing] = self.missing
            objects = pd.Series(array, index=values.index, dtype=object)
        return objects

    def to_arrow(self, values: Any) -> Any:
        import pyarrow as pa

        return pa.array(self.write(values), from_pandas=True)


@serializable
class ArrowFormat(ColumnFormat):
    """A type of Arrow, in a data frame of pandas or in a table of another library.

    Parameters
    ----------
    values : pyarrow.ChunkedArray
        Column of a table.
    """

    def __init__(self, values: Any) -> None:
        import pyarrow as pa

        check_arrow_type(values.type)
        self.type = values.type
        # Arrow and polars tell NaN from null. A column without any null has NaN for missing values.
        self.nan_is_missing = values.null_count == 0 and pa.types.is_floating(self.type)

    def _check_invariants(self) -> None:
        import pyarrow as pa

        check_restored(isinstance(self.type, pa.DataType))
        check_arrow_type(self.type)

    @property
    def stored_dtype(self) -> Any:
        return self.type

    @property
    def is_number(self) -> bool:
        import pyarrow as pa

        return pa.types.is_integer(self.type) or pa.types.is_floating(self.type)

    @staticmethod
    def read(values: Any) -> Any:
        """Return a column of pyarrow as a Series in a plain dtype."""
        return arrow_to_plain(values)

    def to_arrow(self, values: Any) -> Any:
        return plain_to_arrow(values, self.type, keeps_nan=self.nan_is_missing)

    def write(self, values: Any) -> Any:
        array = pd.arrays.ArrowExtensionArray(self.to_arrow(values))
        return pd.Series(array, index=values.index)


def read_column(values: Any) -> tuple[Any, ColumnFormat]:
    """Return a column in a plain dtype, and the format of the column.

    Parameters
    ----------
    values : Series
        Column of a data frame.

    Returns
    -------
    plain : Series
        The same values in a plain dtype: `values` itself if the dtype is plain.
    column_format : ColumnFormat

    Raises
    ------
    TypeError, ValueError
        If the values have no plain dtype.
    """
    if isinstance(values.dtype, pd.ArrowDtype):
        import pyarrow as pa

        data = pa.array(values.array)
        chunks = data if isinstance(data, pa.ChunkedArray) else pa.chunked_array([data])
        column_format = ArrowFormat(chunks)
        return column_format.read(chunks).set_axis(values.index), column_format
    return _to_plain(values), PandasFormat(values)


def _to_plain(values: Any) -> Any:
    dtype = values.dtype
    if isinstance(dtype, pd.SparseDtype):
        return _to_plain(values.sparse.to_dense())
    if pd.api.types.is_object_dtype(dtype):
        return _infer_objects(values)
    if isinstance(dtype, np.dtype):
        return _to_native(values)
    if isinstance(dtype, pd.Float32Dtype | pd.Float64Dtype):
        # Early versions of pandas tell NaN from missing values.
        is_nan = np.isnan(values.to_numpy(dtype=np.float64, na_value=np.nan))
        return values if (is_nan == values.isna().to_numpy()).all() else values.mask(is_nan)
    return values


def _to_native(values: Any) -> Any:
    """Return a Series of a NumPy dtype in a dtype that all functions of pandas support."""
    dtype = values.dtype
    if dtype.kind == "c":
        raise TypeError("it has complex numbers: split real and imaginary parts into two columns")
    if dtype.kind in "SUV":
        return values.astype(object)
    if dtype.kind == "f" and dtype.itemsize > 8:
        doubles = values.astype(np.float64)
        if not (doubles.isna() | (doubles.astype(dtype) == values)).all():
            raise ValueError(
                f"it has numbers of dtype {dtype}, which float64 cannot represent exactly: "
                "convert the column with astype('float64')"
            )
        return doubles
    return values if dtype.isnative else values.astype(dtype.newbyteorder("="))


def _infer_objects(values: Any) -> Any:
    """Return objects in the dtype of their common class, if pandas has one."""
    kind = pd.api.types.infer_dtype(values, skipna=True)
    if kind == "complex":
        raise TypeError("it has complex numbers: split real and imaginary parts into two columns")
    if kind == "integer":
        try:
            return values.astype("Int64")
        except (OverflowError, TypeError) as error:
            raise ValueError(
                "it has integers beyond 2**63: convert the column to strings or to a categorical "
                "dtype, or drop the column if the values are identifiers"
            ) from error
    if kind in ("floating", "mixed-integer-float"):
        return values.astype(np.float64)
    if kind in ("datetime", "datetime64"):
        return _infer_datetimes(values)
    return values.infer_objects()


def _infer_datetimes(values: Any) -> Any:
    inferred = values.infer_objects()
    if inferred.dtype != object:
        return inferred
    present = values[values.notna().to_numpy()]
    zones = {getattr(value, "tzinfo", None) for value in present}
    if zones != {None}:
        raise ValueError(
            "it has datetimes of different time zones: convert the column with "
            "pandas.to_datetime(column, utc=True)"
        )
    # Beyond the range of nanoseconds.
    stamps = np.array(values.where(values.notna(), None).tolist(), dtype="datetime64[us]")
    return pd.Series(stamps, index=values.index)
