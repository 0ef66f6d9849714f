"""Codecs: conversions of the values of one type to simpler parts, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple


class Codec(NamedTuple):
    """Conversion of the values of one type to parts, from which an equal value can be built.

    Parts have supported types themselves, down to strings, numbers, lists and arrays. Two values of
    a type are equal if the parts are equal, so the parts contain everything that distinguishes two
    values: time zones and units, for example.

    Attributes
    ----------
    tag : str
        Name of the type in documents.
    parts : callable
        Returns the parts of a value. Raises TypeError or ValueError if the value cannot be stored.
    build : callable
        Returns the value of the parts. Raises an exception if the parts are invalid. The parts may
        come from a hostile file, so `build` opens no file that the parts name, and allocates memory
        in proportion to the parts.
    is_equal : callable, optional
        Further comparison of two values with equal parts.
    """

    tag: str
    parts: Callable[[Any], Sequence[Any]]
    build: Callable[..., Any]
    is_equal: Callable[[Any, Any], bool] = lambda a, b: True


Codecs = Mapping[type, Codec]


class UnsupportedError(TypeError):
    """A part of a value that the format cannot store.

    Parameters
    ----------
    place : tuple of str
        Attributes, keys and positions that lead to the part.
    reason : str
        Description of the part.
    """

    def __init__(self, place: tuple[str, ...], reason: str) -> None:
        super().__init__(f"{reason}, in {'.'.join(place)}." if place else f"{reason}.")
        self.place = place
        self.reason = reason


def description(value: object) -> str:
    """Return the type and the beginning of the representation of a value."""
    cls = type(value)
    try:
        text = f"{value!r:.80}"
    except Exception:  # the value may have any type, also one whose __repr__ fails
        text = "without a representation"
    return f"A value of type {cls.__module__}.{cls.__qualname__} cannot be saved: {text}"
