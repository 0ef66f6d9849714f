"""Codecs of Arrow's data types, fields and schemas. Needs pyarrow at import.

Types are spelled out as nested lists, because the text of a type is ambiguous, and because Arrow's
own format could hold extension types, which run code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from ._codec import Codec, Codecs
from ._time_zones import check_zone_or_offset

# A missing value takes this number of bytes or items at most: an index of a few kilobytes may have
# many missing values.
_MAX_WIDTH = 2**8
# Types without parameters, or with a unit only, by name.
_SIMPLE = {
    str(data_type): data_type
    for data_type in (
        *(pa.null(), pa.bool_(), pa.float16(), pa.float32(), pa.float64()),
        *(pa.int8(), pa.int16(), pa.int32(), pa.int64()),
        *(pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
        *(pa.string(), pa.large_string(), pa.binary(), pa.large_binary()),
        *(getattr(pa, name)() for name in ("string_view", "binary_view") if hasattr(pa, name)),
        *(pa.date32(), pa.date64(), pa.time32("s"), pa.time32("ms"), pa.time64("us")),
        *(pa.time64("ns"), pa.month_day_nano_interval()),
        *(pa.duration(unit) for unit in ("s", "ms", "us", "ns")),
    )
}
_DECIMALS = ("decimal32", "decimal64", "decimal128", "decimal256")
_LISTS = ("list", "large_list", "list_view", "large_list_view")


def _is(kind: str, data_type: Any) -> bool:
    """Return whether a type is of a kind that old versions of pyarrow may not have."""
    return getattr(pa.types, f"is_{kind}", lambda _: False)(data_type)


def _type_parts(data_type: Any) -> list[Any]:
    """Return the name of a type and its parameters."""
    t = data_type
    if isinstance(t, pa.BaseExtensionType):
        raise ValueError("extension types of Arrow are not supported")
    if _SIMPLE.get(str(t)) == t:
        return [str(t)]
    if pa.types.is_timestamp(t):
        return ["timestamp", t.unit, check_zone_or_offset(t.tz)]
    if pa.types.is_dictionary(t):
        return ["dictionary", t.index_type, t.value_type, t.ordered]
    if pa.types.is_struct(t):
        return ["struct", [t.field(i) for i in range(t.num_fields)]]
    if pa.types.is_map(t):
        return ["map", t.key_field, t.item_field, t.keys_sorted]
    if pa.types.is_fixed_size_list(t):
        return ["fixed_size_list", t.value_field, t.list_size]
    if pa.types.is_fixed_size_binary(t):
        return ["fixed_size_binary", t.byte_width]
    for kind in _LISTS:
        if _is(kind, t):
            return [kind, t.value_field]
    for kind in _DECIMALS:
        if _is(kind, t):
            return [kind, t.precision, t.scale]
    raise ValueError("the type of Arrow is not supported")


def _fixed_size_binary(width: int) -> Any:
    if not 0 <= width <= _MAX_WIDTH:
        raise ValueError(f"values of {width} bytes are too wide")
    return pa.binary(width)


def _fixed_size_list(field: Any, size: int) -> Any:
    if not 0 <= size * _width(field.type) <= _MAX_WIDTH:
        raise ValueError(f"lists of {size} items are too long")
    return pa.list_(field, size)


def _width(data_type: Any) -> int:
    """Return the number of bytes or items of a missing value, with 1 for short values."""
    if pa.types.is_fixed_size_list(data_type):
        return data_type.list_size * _width(data_type.value_type)
    if pa.types.is_struct(data_type):
        return sum(_width(field.type) for field in data_type)
    return data_type.byte_width if pa.types.is_fixed_size_binary(data_type) else 1


_BUILDERS: dict[str, Callable[..., Any]] = {
    "timestamp": lambda unit, zone: pa.timestamp(unit, check_zone_or_offset(zone)),
    "dictionary": pa.dictionary,
    "struct": pa.struct,
    "map": lambda key, item, keys_sorted: pa.map_(key, item, keys_sorted),
    "fixed_size_list": _fixed_size_list,
    "fixed_size_binary": _fixed_size_binary,
    "list": pa.list_,
    **{kind: lambda field, kind=kind: getattr(pa, kind)(field) for kind in _LISTS[1:]},
    **{kind: lambda p, s, kind=kind: getattr(pa, kind)(p, s) for kind in _DECIMALS},
}


def _build_type(name: str, *parameters: Any) -> Any:
    return _BUILDERS[name](*parameters) if parameters else _SIMPLE[name]


def _metadata(owner: Any) -> dict[bytes, bytes] | None:
    return None if owner.metadata is None else dict(owner.metadata)


def _same_type(a: Any, b: Any) -> bool:
    return a.equals(b, check_metadata=True)


_TYPE = Codec("pyarrow.DataType", _type_parts, _build_type, _same_type)
_FIELD = Codec(
    "pyarrow.Field",
    lambda v: [v.name, v.type, v.nullable, _metadata(v)],
    pa.field,
    _same_type,
)
_SCHEMA = Codec(
    "pyarrow.Schema",
    lambda v: [list(v), _metadata(v)],
    pa.schema,
    _same_type,
)
CODECS: Codecs = {pa.Field: _FIELD, pa.Schema: _SCHEMA}
TAGS = {codec.tag: codec for codec in (_TYPE, _FIELD, _SCHEMA)}


def find_codec(cls: type) -> Codec | None:
    """Return the codec of a class of pyarrow, or None."""
    return _TYPE if issubclass(cls, pa.DataType) else CODECS.get(cls)
