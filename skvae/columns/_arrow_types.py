"""Columns of Arrow as columns in plain dtypes of pandas, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..serialization import check_zone_or_offset

# Beginnings of the names of types of strings and bytes, and of the type without values.
_TEXTS = ("string", "large_string", "binary", "large_binary", "fixed_size_binary", "null")


def check_arrow_type(arrow_type: Any) -> None:
    """Raise a TypeError or ValueError if columns of a type of Arrow cannot be read.

    Parameters
    ----------
    arrow_type : pyarrow.DataType
    """
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(arrow_type):
        check_arrow_type(arrow_type.value_type)
        return
    is_scalar = (
        (types.is_primitive(arrow_type) and not types.is_interval(arrow_type))
        or types.is_decimal(arrow_type)
        or str(arrow_type).startswith(_TEXTS)
    )
    if not is_scalar:
        kind = "lists or structs" if types.is_nested(arrow_type) else "values"
        raise TypeError(
            f"it has {kind} of the Arrow type {arrow_type}: expand them into columns of numbers, "
            "strings or times, or drop the column"
        )
    if types.is_timestamp(arrow_type):
        try:
            check_zone_or_offset(arrow_type.tz)
        except ValueError as error:
            raise ValueError(
                f"{error}: cast the column to a time zone such as 'Europe/Paris', 'UTC' or '+02:00'"
            ) from error


def arrow_to_plain(values: Any) -> Any:
    """Return a column of Arrow as a Series in a plain dtype.

    Parameters
    ----------
    values : pyarrow.ChunkedArray
        Column of a type that `check_arrow_type` accepts.
    """
    import pyarrow as pa

    arrow_type = values.type
    if pa.types.is_dictionary(arrow_type):
        return _read_dictionary(values)
    if pa.types.is_integer(arrow_type) and values.null_count:
        nullable = str(arrow_type).replace("int", "Int").replace("u", "U")
        return values.to_pandas(types_mapper={arrow_type: pd.api.types.pandas_dtype(nullable)}.get)
    if str(arrow_type).endswith("_view"):
        values = values.cast(f"large_{str(arrow_type).removesuffix('_view')}")
    plain = values.to_pandas()
    return plain if plain.dtype.kind in "biufmM" else plain.astype(object)


def _read_dictionary(values: Any) -> Any:
    """Return a column of dictionary-encoded values as a categorical Series."""
    import pyarrow as pa

    if not all(_is_unique(chunk.dictionary) for chunk in values.chunks):
        if values.type.ordered:
            raise ValueError(
                "it has an ordered dictionary with null, NaN or duplicate values, which has no "
                "counterpart in pandas: encode the column with a dictionary of unique values"
            )
        plain = [arrow_to_plain(pa.chunked_array([c.dictionary_decode()])) for c in values.chunks]
        return pd.concat(plain, ignore_index=True).astype("category")
    chunks = values.unify_dictionaries().chunks
    codes = [chunk.indices.cast(pa.int64()).fill_null(-1).to_numpy() for chunk in chunks]
    dictionary = chunks[0].dictionary if chunks else pa.array([], values.type.value_type)
    categories = arrow_to_plain(pa.chunked_array([dictionary]))
    return pd.Series(
        pd.Categorical.from_codes(
            np.concatenate([np.empty(0, dtype=np.int64), *codes]),
            pd.Index(categories, tupleize_cols=False),
            ordered=values.type.ordered,
        )
    )


def _is_unique(dictionary: Any) -> bool:
    """Return whether the values of a dictionary differ, and none of the values is missing."""
    import pyarrow.compute as pc

    is_missing = pc.any(pc.is_null(dictionary, nan_is_null=True), min_count=0).as_py()
    return not is_missing and len(dictionary.unique()) == len(dictionary)


def plain_to_arrow(values: Any, arrow_type: Any, *, keeps_nan: bool) -> Any:
    """Return a plain Series as an array of pyarrow.

    Parameters
    ----------
    values : Series
        Values that the type can express.
    arrow_type : pyarrow.DataType
        Type of the result.
    keeps_nan : bool
        Whether NaN is written as a number. Otherwise, NaN is written as null.
    """
    import pyarrow as pa

    if not pa.types.is_dictionary(arrow_type):
        return pa.array(values, type=arrow_type, from_pandas=not keeps_nan)
    categories = values.cat.categories.astype(object)
    codes = values.cat.codes.to_numpy()
    return pa.DictionaryArray.from_arrays(
        pa.array(codes, type=arrow_type.index_type, mask=codes < 0),
        pa.array(categories, type=arrow_type.value_type, from_pandas=True),
        ordered=arrow_type.ordered,
    )
