"""Comparison of values with what came back from a document: types, bits and order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ._array_types import is_plain_array
from ._registry import is_registered
from ._types import find_codec

# Values of these types are equal if `==` says so.
_EXACT = {type(None), bool, int, str, bytes}
Place = tuple[str, ...]


def first_difference(a: Any, b: Any, place: Place = ()) -> Place | None:
    """Return the place of the first part that differs between two values, or None.

    Types must be equal, NaN equals NaN, and 0.0 differs from -0.0.
    """
    if is_plain_array(a) and is_plain_array(b):
        return None if _equal_arrays(a, b) else place
    if type(a) is not type(b):
        return place
    cls = type(a)
    if cls in _EXACT:
        return None if a == b else place
    if cls is float:
        same = a == b and math.copysign(1, a) == math.copysign(1, b)
        return None if same or (a != a and b != b) else place
    if cls is dict:
        return _difference_of_mappings(a, b, place)
    if cls in (list, tuple):
        return _difference_of_sequences(a, b, place)
    if is_registered(cls):
        return first_difference(dict(vars(a)), dict(vars(b)), place)
    codec = find_codec(a)
    if codec is None:  # custom code, which is passed to `decode`
        return None if a is b else place
    difference = first_difference(list(codec.parts(a)), list(codec.parts(b)), ())
    return None if difference is None and codec.is_equal(a, b) else place


def _equal_arrays(a: np.ndarray, b: np.ndarray) -> bool:
    if a is b:  # arrays are not copied
        return True
    return (a.dtype, a.shape) == (b.dtype, b.shape) and a.tobytes() == b.tobytes()


def _difference_of_mappings(a: dict[Any, Any], b: dict[Any, Any], place: Place) -> Place | None:
    if len(a) != len(b):
        return place
    for (key, item), (other_key, other) in zip(a.items(), b.items(), strict=True):
        inside = (*place, str(key))
        if first_difference(key, other_key) is not None:
            return inside
        if (difference := first_difference(item, other, inside)) is not None:
            return difference
    return None


def _difference_of_sequences(a: Sequence[Any], b: Sequence[Any], place: Place) -> Place | None:
    if len(a) != len(b):
        return place
    types = list(map(type, a))
    if set(types) <= _EXACT and types == list(map(type, b)):
        return None if a == b else place
    for i, (item, other) in enumerate(zip(a, b, strict=True)):
        if (difference := first_difference(item, other, (*place, str(i)))) is not None:
            return difference
    return None
