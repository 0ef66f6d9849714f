"""Codecs of time zones. Zones with a name are restored only if the name is a known zone.

A name from a file never leads to another file: the libraries would open ``"../../etc/passwd"``, or
any path that follows ``"dateutil/"``.
"""

from __future__ import annotations

import datetime
import re
import zoneinfo
from functools import cache
from importlib import import_module
from pathlib import PurePath
from typing import Any

from ._codec import Codec, Codecs

_FIXED_OFFSET = re.compile(r"[-+][0-9]{2}:[0-9]{2}")


@cache
def _known_zones() -> frozenset[str]:
    # "localtime" is the zone of the machine, not a name.
    return frozenset(zoneinfo.available_timezones() - {"localtime"})


def check_zone(name: Any) -> str:
    """Return the name of a time zone.

    Raises
    ------
    ValueError
        If no time zone has this name.
    """
    # "UTC" needs no list of zones, which takes a moment to collect.
    if not isinstance(name, str) or (name != "UTC" and name not in _known_zones()):
        raise ValueError(f"{name!r:.80} is not the name of a time zone")
    return name


def check_zone_or_offset(name: str | None) -> str | None:
    """Return the time zone of an Arrow timestamp: None, a name, or an offset such as "+02:00"."""
    if name is None or (isinstance(name, str) and _FIXED_OFFSET.fullmatch(name)):
        return name
    return check_zone(name)


def _timezone(offset: datetime.timedelta, name: str | None) -> datetime.timezone:
    return datetime.timezone(offset) if name is None else datetime.timezone(offset, name)


def _timezone_parts(zone: datetime.timezone) -> list[Any]:
    offset, *name = zone.__getinitargs__()  # type: ignore[attr-defined]
    return [offset, *(name or [None])]


STANDARD_ZONES: Codecs = {
    datetime.timezone: Codec("timezone", _timezone_parts, _timezone),
    zoneinfo.ZoneInfo: Codec(
        "ZoneInfo", lambda v: [check_zone(v.key)], lambda name: zoneinfo.ZoneInfo(check_zone(name))
    ),
}


def _pytz_zone(name: str) -> Any:
    pytz = import_module("pytz")
    if name not in pytz.all_timezones_set:
        raise ValueError(f"{name!r:.80} is not the name of a time zone")
    return pytz.timezone(name)


def _pytz_name(zone: Any) -> list[str]:
    if zone.zone not in import_module("pytz").all_timezones_set:
        raise ValueError("the time zone has no name")
    return [zone.zone]


def _dateutil_name(zone: Any) -> list[str]:
    """Return the name of a zone of dateutil, which knows the file instead."""
    steps = PurePath(getattr(zone, "_key", None) or zone._filename).parts
    names = ["/".join(steps[start:]) for start in range(len(steps))]
    return [next(name for name in names if name in _known_zones())]


def _dateutil_zone(name: str) -> Any:
    return import_module("dateutil.tz").gettz(check_zone(name))


def _dateutil_offset(name: str | None, offset: datetime.timedelta) -> Any:
    return import_module("dateutil.tz").tzoffset(name, offset)


# Zones of other libraries, by tag. pytz has a class for each zone.
LIBRARY_ZONES = {
    codec.tag: codec
    for codec in (
        Codec("pytz.timezone", _pytz_name, _pytz_zone),
        Codec(
            "pytz.FixedOffset",
            lambda v: [v._minutes],
            lambda minutes: import_module("pytz").FixedOffset(minutes),
        ),
        Codec("dateutil.tzutc", lambda v: [], lambda: import_module("dateutil.tz").tzutc()),
        Codec("dateutil.tzoffset", lambda v: [v._name, v.utcoffset(None)], _dateutil_offset),
        Codec("dateutil.tzfile", _dateutil_name, _dateutil_zone, lambda a, b: bool(a == b)),
    )
}


def library_zone(cls: type) -> Codec | None:
    """Return the codec of a class of time zones of pytz or dateutil, or None."""
    library, name = cls.__module__.split(".")[0], cls.__name__
    if library == "pytz":
        name = "FixedOffset" if name == "_FixedOffset" else "timezone"
    return LIBRARY_ZONES.get(f"{library}.{name}")
