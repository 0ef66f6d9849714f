"""Limits of documents, which keep a small hostile file from taking much time or memory."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

MAX_DEPTH = 100
MAX_DIGITS = 1_000
# An empty container takes two bytes of a file, and 64 bytes of memory.
_MAX_CONTAINERS = 2**19
_MAX_VALUES = 2**22
# A hash table with this number of keys of the same hash is an attack: it would be slow.
_MAX_COLLISIONS = 64
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"')


def check_size(text: str) -> None:
    """Raise `ValueError` if a JSON document has too many values."""
    structure = _STRING.sub("", text)
    n_containers = structure.count("[") + structure.count("{")
    if n_containers > _MAX_CONTAINERS or structure.count(",") > _MAX_VALUES:
        raise ValueError(
            f"it has {n_containers} lists and objects, and {structure.count(',')} values; a file "
            f"may have {_MAX_CONTAINERS} and {_MAX_VALUES}"
        )


def parse(text: str) -> Any:
    """Return the value of a JSON text.

    Raises
    ------
    ValueError
        If the text is not JSON, or has too many values, a duplicate key, a number that is not
        finite, or an integer with many digits.
    RecursionError
        If values are nested too deeply.
    """
    check_size(text)
    return json.loads(
        text,
        object_pairs_hook=_object,
        parse_int=_integer,
        parse_constant=_refuse_constant,
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("a key occurs twice")
    return result


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS + 1:
        raise ValueError(f"an integer has {len(digits)} digits")
    return int(digits)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def check_hashes(hashes: Sequence[int]) -> None:
    """Raise `ValueError` if many keys of a hash table have the same hash."""
    if len(hashes) > _MAX_COLLISIONS and max(Counter(hashes).values()) > _MAX_COLLISIONS:
        raise ValueError("too many keys have the same hash")
