"""Codecs by value and by tag. Libraries are imported only for their own values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import _array_types
from ._codec import Codec
from ._plain_types import PLAIN_CODECS
from ._time_zones import LIBRARY_ZONES, STANDARD_ZONES, library_zone

_STANDARD = {**PLAIN_CODECS, **STANDARD_ZONES}
_TAGS: Mapping[str, Codec] = {
    **{codec.tag: codec for codec in _STANDARD.values()},
    **_array_types.TAGS,
    **LIBRARY_ZONES,
}


def find_codec(value: Any) -> Codec | None:
    """Return the codec of a value, or None.

    A codec belongs to one type, not to subclasses: an enumeration or a named tuple would come back
    as a number or as a tuple.
    """
    cls = type(value)
    library = cls.__module__.split(".")[0]
    if library in ("pytz", "dateutil"):
        return library_zone(cls)
    if library == "pandas":
        from . import _pandas_types

        return _pandas_types.CODECS.get(cls)
    if library == "pyarrow":
        from . import _arrow_types

        return _arrow_types.find_codec(cls)
    return _STANDARD.get(cls) or _array_types.find_codec(value)


def codec_of_tag(tag: str) -> Codec:
    """Return the codec of a tag.

    Raises
    ------
    KeyError
        If the tag is unknown.
    ImportError
        If the library of the type is missing.
    """
    library = tag.split(".")[0]
    if library == "pandas":
        from . import _pandas_types

        return _pandas_types.TAGS[tag]
    if library == "pyarrow":
        from . import _arrow_types

        return _arrow_types.TAGS[tag]
    return _TAGS[tag]
