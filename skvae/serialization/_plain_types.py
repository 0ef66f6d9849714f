"""Codecs of the types of Python's standard library."""

from __future__ import annotations

import base64
import datetime
import decimal
import pathlib
import re
from typing import Any

from ._codec import Codec, Codecs

# Decimals beyond these limits make later calculations slow: an integer of 1e1000000 takes minutes.
_MAX_DECIMAL_LENGTH = 1_000
_MAX_DECIMAL_EXPONENT = 9_999
_DECIMAL = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]+)?(?:E[-+][0-9]{1,5})?|s?NaN[0-9]*|Infinity)")


def _decimal(text: str) -> decimal.Decimal:
    if len(text) > _MAX_DECIMAL_LENGTH or not _DECIMAL.fullmatch(text):
        raise ValueError("a decimal number is too long")
    value = decimal.Decimal(text)
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and max(abs(exponent), abs(value.adjusted())) > (
        _MAX_DECIMAL_EXPONENT
    ):
        raise ValueError("the exponent of a decimal number is too large")
    return value


def _datetime(text: str, zone: Any, fold: int) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold)


def _time(text: str, zone: Any, fold: int) -> datetime.time:
    return datetime.time.fromisoformat(text).replace(tzinfo=zone, fold=fold)


def _in_order(items: Any) -> list[Any]:
    """Return the items of a set in an order that does not depend on the process."""
    return [sorted(items, key=lambda item: (type(item).__qualname__, repr(item)))]


PLAIN_CODECS: Codecs = {
    bytes: Codec(
        "bytes",
        lambda v: [base64.b64encode(v).decode()],
        lambda text: base64.b64decode(text, validate=True),
    ),
    complex: Codec("complex", lambda v: [v.real, v.imag], complex),
    range: Codec("range", lambda v: [v.start, v.stop, v.step], range),
    decimal.Decimal: Codec("Decimal", lambda v: [str(v)], _decimal),
    datetime.date: Codec("date", lambda v: [v.isoformat()], datetime.date.fromisoformat),
    datetime.datetime: Codec(
        "datetime", lambda v: [v.replace(tzinfo=None).isoformat(), v.tzinfo, v.fold], _datetime
    ),
    datetime.time: Codec(
        "time", lambda v: [v.replace(tzinfo=None).isoformat(), v.tzinfo, v.fold], _time
    ),
    datetime.timedelta: Codec(
        "timedelta",
        lambda v: [v.days, v.seconds, v.microseconds],
        datetime.timedelta,
    ),
    pathlib.PosixPath: Codec("path", lambda v: [str(v)], pathlib.Path),
    pathlib.WindowsPath: Codec("path", lambda v: [str(v)], pathlib.Path),
    frozenset: Codec("frozenset", _in_order, frozenset),
    set: Codec("set", _in_order, set),
}
