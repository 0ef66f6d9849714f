"""Types of Arrow: description by plain values, and conversion of columns."""

from __future__ import annotations

import re
import zoneinfo
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from ..serialization import serializable

_INTEGERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
_FLOATS = ("float16", "float32", "float64")
_TEXTS = ("string", "large_string", "string_view", "binary", "large_binary", "binary_view")
_SIMPLE = ("null", "bool_", *_INTEGERS, *_FLOATS, "date32", "date64", *_TEXTS)
_DECIMALS = ("decimal32", "decimal64", "decimal128", "decimal256")
_TIMES = ("timestamp", "duration", "time32", "time64")
# Largest number of bytes of a value of fixed width.
_MAX_WIDTH = 2**16


@serializable
@dataclass(frozen=True)
class ArrowType:
    """A type of Arrow, described by plain values.

    Parameters
    ----------
    name : str
        Name of the function of pyarrow that creates the type.
    arguments : tuple
        Arguments of the function: strings, integers, booleans, and for dictionaries the
        `ArrowType` of the indices and of the values.

    Raises
    ------
    ValueError
        If `name` is no type of columns that skvae reads.
    """

    name: str
    arguments: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        if self.name not in (*_SIMPLE, *_DECIMALS, *_TIMES, "dictionary"):
            raise ValueError(f"{self.name!r} is no type of Arrow for columns")
        widths = [width for width in self.arguments if isinstance(width, int)]
        if max(widths, default=0) > _MAX_WIDTH:
            raise ValueError(f"values of {max(widths)} bytes are too wide")
        zone = self.arguments[1] if self.name == "timestamp" else None
        if zone is not None and not _is_known_zone(zone):
            raise ValueError(
                f"{zone!r} is no known time zone: cast the column to one such as 'Europe/Paris', "
                "'UTC' or '+02:00'"
            )

    @classmethod
    def of(cls, arrow_type: Any) -> ArrowType:
        """Return the description of a type.

        Raises
        ------
        TypeError
            If columns of the type cannot be read.
        """
        import pyarrow as pa

        types = pa.types
        for name in _SIMPLE:
            if hasattr(pa, name) and arrow_type == getattr(pa, name)():
                return cls(name)
        if types.is_timestamp(arrow_type):
            return cls("timestamp", (arrow_type.unit, arrow_type.tz))
        if types.is_duration(arrow_type):
            return cls("duration", (arrow_type.unit,))
        if types.is_time(arrow_type):
            return cls(f"time{arrow_type.bit_width}", (arrow_type.unit,))
        if types.is_decimal(arrow_type):
            arguments = (arrow_type.precision, arrow_type.scale)
            return cls(f"decimal{arrow_type.bit_width}", arguments)
        if types.is_fixed_size_binary(arrow_type):
            return cls("binary", (arrow_type.byte_width,))
        if types.is_dictionary(arrow_type):
            parts = (cls.of(arrow_type.index_type), cls.of(arrow_type.value_type))
            return cls("dictionary", (*parts, arrow_type.ordered))
        kind = "lists or structs" if types.is_nested(arrow_type) else "values"
        raise TypeError(
            f"it has {kind} of the Arrow type {arrow_type}: expand them into columns of numbers, "
            "strings or times, or drop the column"
        )

    @property
    def is_float(self) -> bool:
        return self.name in _FLOATS

    @property
    def is_number(self) -> bool:
        return self.name in _FLOATS or self.name in _INTEGERS

    def __str__(self) -> str:
        return str(self.build())

    def build(self) -> Any:
        """Return the type of pyarrow."""
        import pyarrow as pa

        arguments = [a.build() if isinstance(a, ArrowType) else a for a in self.arguments]
        return getattr(pa, self.name)(*arguments)


def _is_known_zone(zone: Any) -> bool:
    is_offset = isinstance(zone, str) and re.fullmatch(r"[+-]\d\d:\d\d", zone)
    return bool(is_offset) or zone in _zone_names()


@cache
def _zone_names() -> set[str]:
    return zoneinfo.available_timezones()  # reads many files


def arrow_to_plain(values: Any) -> Any:
    """Return a column of Arrow as a Series in a plain dtype.

    Parameters
    ----------
    values : pyarrow.ChunkedArray
        Column of a type that `ArrowType` describes.
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


def plain_to_arrow(values: Any, arrow_type: ArrowType, *, keeps_nan: bool) -> Any:
    """Return a plain Series as an array of pyarrow.

    Parameters
    ----------
    values : Series
        Values that the type can express.
    arrow_type : ArrowType
        Type of the result.
    keeps_nan : bool
        Whether NaN is written as a number. Otherwise, NaN is written as null.
    """
    import pyarrow as pa

    if arrow_type.name != "dictionary":
        return pa.array(values, type=arrow_type.build(), from_pandas=not keeps_nan)
    index_type, value_type, is_ordered = arrow_type.arguments
    categories = values.cat.categories.astype(object)
    codes = values.cat.codes.to_numpy()
    return pa.DictionaryArray.from_arrays(
        pa.array(codes, type=index_type.build(), mask=codes < 0),
        pa.array(categories, type=value_type.build(), from_pandas=True),
        ordered=is_ordered,
    )
