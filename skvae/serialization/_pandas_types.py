"""Codecs of pandas: scalars, dtypes and indices. Needs pandas at import.

A dtype or a time zone is never built from a text in a file, because pandas opens the files that
some texts name.
"""

from __future__ import annotations

import datetime
import re
from typing import Any

import numpy as np
import pandas as pd

from ._array_types import object_array
from ._codec import Codec, Codecs
from ._limits import check_hashes

# Multiple and name of a frequency, such as "2h" or "W-SUN". pandas is slow for business hours, and
# for custom and retail calendars.
_MAX_LENGTH_WITH_FREQUENCY = 2**18
_FREQUENCY = re.compile(r"-?[0-9]{0,5}(?![Cc]?[Bb][Hh]|C|RE)[A-Za-z]{1,6}(?:-[A-Z0-9]{1,4}){0,3}")


# The hash of objects in tables of pandas, which is not public.
_object_hash = getattr(pd._libs.hashtable, "object_hash", hash)


# ---- Checks of parts ---------------------------------------------------------------------


def _frequency(text: str) -> str:
    if not _FREQUENCY.fullmatch(text):
        raise ValueError(f"{text!r:.80} is not a frequency")
    return text


def _stored(kind: str, value: int, unit: str) -> Any:
    """Return an integer as a time of NumPy, in a unit of pandas."""
    if unit not in ("s", "ms", "us", "ns"):
        raise ValueError(f"{unit!r:.80} is not a unit of time")
    return np.array(value, dtype=np.int64).view(f"{kind}[{unit}]")[()]


def _zone(zone: Any) -> Any:
    if zone is not None and not isinstance(zone, datetime.tzinfo):
        raise TypeError("a time zone has the wrong type")
    return zone


def _dtype(dtype: Any) -> Any:
    if not isinstance(dtype, np.dtype | pd.api.extensions.ExtensionDtype):
        raise TypeError("a dtype has the wrong type")
    return dtype


# ---- Scalars -----------------------------------------------------------------------------


def _timestamp(value: int, unit: str, zone: Any, fold: int) -> Any:
    # `fold` follows from the time in UTC. The value is compared with the original all the same.
    stamp = pd.Timestamp(_stored("M8", value, unit))
    return stamp if _zone(zone) is None else stamp.tz_localize("UTC").tz_convert(zone)


def _integer(value: Any) -> int:
    """Return a time as an integer, in its unit."""
    return int(value.asm8.view(np.int64))


def _period(ordinal: int, frequency: str) -> Any:
    return pd.Period(ordinal=ordinal, freq=_frequency(frequency))


_SCALARS: Codecs = {
    type(pd.NA): Codec("pandas.NA", lambda v: [], lambda: pd.NA),
    type(pd.NaT): Codec("pandas.NaT", lambda v: [], lambda: pd.NaT),
    pd.Timestamp: Codec(
        "pandas.Timestamp", lambda v: [_integer(v), v.unit, v.tzinfo, v.fold], _timestamp
    ),
    pd.Timedelta: Codec(
        "pandas.Timedelta",
        lambda v: [_integer(v), v.unit],
        lambda value, unit: pd.Timedelta(_stored("m8", value, unit)),
    ),
    pd.Period: Codec("pandas.Period", lambda v: [v.ordinal, v.freqstr], _period),
    pd.Interval: Codec("pandas.Interval", lambda v: [v.left, v.right, v.closed], pd.Interval),
}


# ---- Dtypes ------------------------------------------------------------------------------


def _string_parts(dtype: Any) -> list[Any]:
    return [dtype.storage, dtype.na_value is pd.NA]


def _string_dtype(storage: str, has_na: bool) -> Any:
    # Before pandas 2.3, the name of the storage determines the missing value.
    if has_na or storage.endswith("_numpy"):
        return pd.StringDtype(storage)
    return pd.StringDtype(storage, na_value=np.nan)


def _categorical_dtype(categories: Any, ordered: bool) -> Any:
    if categories is not None and not isinstance(categories, pd.Index):
        raise TypeError("categories are not an Index")
    return pd.CategoricalDtype(categories, ordered)


def _masked_codec(name: str) -> Codec:
    cls = getattr(pd, name)
    return Codec(f"pandas.{name}", lambda v: [], cls)


_MASKED = (
    *("BooleanDtype", "Float32Dtype", "Float64Dtype"),
    *(f"{sign}{size}Dtype" for sign in ("Int", "UInt") for size in (8, 16, 32, 64)),
)


def _equal(a: Any, b: Any) -> bool:
    return bool(a == b)


_DTYPES: Codecs = {
    **{getattr(pd, name): _masked_codec(name) for name in _MASKED},
    pd.StringDtype: Codec("pandas.StringDtype", _string_parts, _string_dtype, _equal),
    pd.CategoricalDtype: Codec(
        "pandas.CategoricalDtype",
        lambda v: [v.categories, v.ordered],
        _categorical_dtype,
        _equal,
    ),
    pd.DatetimeTZDtype: Codec(
        "pandas.DatetimeTZDtype",
        lambda v: [v.unit, v.tz],
        lambda unit, zone: pd.DatetimeTZDtype(unit, _zone(zone)),
        _equal,
    ),
    pd.PeriodDtype: Codec(
        "pandas.PeriodDtype",
        lambda v: [str(v).removeprefix("period[").removesuffix("]")],
        lambda frequency: pd.PeriodDtype(_frequency(frequency)),
        _equal,
    ),
    pd.IntervalDtype: Codec(
        "pandas.IntervalDtype",
        lambda v: [v.subtype, v.closed],
        lambda subtype, closed: pd.IntervalDtype(subtype and _dtype(subtype), closed),
        _equal,
    ),
    pd.SparseDtype: Codec(
        "pandas.SparseDtype",
        lambda v: [v.subtype, v.fill_value],
        lambda subtype, fill_value: pd.SparseDtype(_dtype(subtype), fill_value),
    ),
    pd.ArrowDtype: Codec("pandas.ArrowDtype", lambda v: [v.pyarrow_dtype], pd.ArrowDtype, _equal),
}


# ---- Indices -----------------------------------------------------------------------------


def _index_parts(index: Any) -> list[Any]:
    is_numeric = isinstance(index.dtype, np.dtype) and index.dtype.kind in "biuf"
    return [index.to_numpy() if is_numeric else list(index), index.dtype, index.name]


def _checked(index: Any) -> Any:
    """Return an index, after a check of the hashes that pandas uses, which have 32 bits only."""
    if pd.api.types.is_integer_dtype(index.dtype) or hasattr(index, "asi8"):
        integers = index.asi8 if hasattr(index, "asi8") else index.to_numpy(np.int64, na_value=0)
        bits = integers.view(np.uint64)
        check_hashes((bits ^ (bits >> 33) ^ (bits << 11)).astype(np.uint32).tolist())
    else:
        check_hashes(list(map(_object_hash, index)))
    return index


def _index(items: Any, dtype: Any, name: Any) -> Any:
    if isinstance(dtype, pd.ArrowDtype) and dtype.pyarrow_dtype.num_fields:
        # A missing struct takes memory for each field.
        raise ValueError("indices of lists, structs and maps are not supported")
    if isinstance(_dtype(dtype), np.dtype):
        values = items if isinstance(items, np.ndarray) else object_array(items)
        return _checked(pd.Index(values, dtype=dtype, name=name, tupleize_cols=False))
    return _checked(pd.Index(pd.array(items, dtype=dtype), name=name))


def _time_parts(index: Any) -> list[Any]:
    return [index.asi8, index.dtype, index.name, index.freqstr]


def _times(cls: Any, values: np.ndarray, dtype: Any, name: Any, frequency: str | None) -> Any:
    """Return a DatetimeIndex or TimedeltaIndex of integers, in the unit of the dtype."""
    kind = "m8" if cls is pd.TimedeltaIndex else "M8"
    unit = np.datetime_data(dtype)[0] if isinstance(dtype, np.dtype) else dtype.unit
    index = _checked(cls(np.asarray(values, dtype=np.int64).view(f"{kind}[{unit}]"), name=name))
    if getattr(dtype, "tz", None) is not None:
        index = index.tz_localize("UTC").tz_convert(_zone(dtype.tz))
    if frequency is not None:
        if len(index) > _MAX_LENGTH_WITH_FREQUENCY:  # pandas checks the values one by one
            raise ValueError("an index with a frequency is too long")
        index.freq = _frequency(frequency)
    return index


def _period_index(values: np.ndarray, dtype: Any, name: Any, frequency: str) -> Any:
    if not isinstance(dtype, pd.PeriodDtype):
        raise TypeError("a dtype has the wrong type")
    return _checked(pd.PeriodIndex(pd.arrays.PeriodArray(values, dtype=dtype), name=name))


def _categorical_index(codes: np.ndarray, dtype: Any, name: Any) -> Any:
    return pd.CategoricalIndex(pd.Categorical.from_codes(codes, dtype=_dtype(dtype)), name=name)


def _interval_index(left: Any, right: Any, closed: str, name: Any) -> Any:
    return pd.IntervalIndex.from_arrays(left, right, closed, name=name)


def _multi_index(levels: list[Any], codes: list[Any], names: list[Any]) -> Any:
    if not all(isinstance(level, pd.Index) for level in levels):
        raise TypeError("a level of a MultiIndex is not an Index")
    return pd.MultiIndex(levels=levels, codes=codes, names=names)


def _same_index(a: Any, b: Any) -> bool:
    return bool(a.equals(b))


_INDICES: Codecs = {
    pd.Index: Codec("pandas.Index", _index_parts, _index, _same_index),
    pd.RangeIndex: Codec(
        "pandas.RangeIndex",
        lambda v: [v.start, v.stop, v.step, v.name],
        lambda start, stop, step, name: pd.RangeIndex(start, stop, step, name=name),
        _same_index,
    ),
    pd.DatetimeIndex: Codec(
        "pandas.DatetimeIndex",
        _time_parts,
        lambda *parts: _times(pd.DatetimeIndex, *parts),
        _same_index,
    ),
    pd.TimedeltaIndex: Codec(
        "pandas.TimedeltaIndex",
        _time_parts,
        lambda *parts: _times(pd.TimedeltaIndex, *parts),
        _same_index,
    ),
    pd.PeriodIndex: Codec("pandas.PeriodIndex", _time_parts, _period_index, _same_index),
    pd.CategoricalIndex: Codec(
        "pandas.CategoricalIndex",
        lambda v: [np.asarray(v.codes), v.dtype, v.name],
        _categorical_index,
        _same_index,
    ),
    pd.IntervalIndex: Codec(
        "pandas.IntervalIndex",
        lambda v: [v.left, v.right, v.closed, v.name],
        _interval_index,
        _same_index,
    ),
    pd.MultiIndex: Codec(
        "pandas.MultiIndex",
        lambda v: [list(v.levels), [np.asarray(codes) for codes in v.codes], list(v.names)],
        _multi_index,
        _same_index,
    ),
}
CODECS: Codecs = {**_SCALARS, **_DTYPES, **_INDICES}
TAGS = {codec.tag: codec for codec in CODECS.values()}
