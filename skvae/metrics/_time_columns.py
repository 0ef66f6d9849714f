"""Readers of columns of datetimes, durations and times of day."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from typing import Any

import numpy as np
import pandas as pd

from ._column_values import ColumnReader, parse_distinct

_DURATION = re.compile(r"[-+]?(P|\d+ days?\b|\d+:\d\d)")


class DatetimeReader(ColumnReader):
    """Reader of datetimes, dates and periods as microseconds since 1970.

    Datetimes with a time zone count in the local time of the real column.

    Parameters
    ----------
    column : Series
        Column of the real table.
    """

    is_numeric = True

    def __init__(self, column: Any) -> None:
        self._frequency = getattr(column.dtype, "freq", None)
        known = column.dropna()
        self._zone = getattr(column.dtype, "tz", None)
        if len(known):
            self._zone = pd.Timestamp(to_datetime(known.iloc[0], None)).tz

    def read(self, column: Any) -> np.ndarray:
        values = column
        if values.dtype.kind == "M" and len(known := values.dropna()):
            self._check_zone(known.iloc[0])
            if self._zone is not None:
                values = values.dt.tz_convert(self._zone).dt.tz_localize(None)
            stamps = values.to_numpy(dtype="datetime64[us]")
            return np.where(np.isnat(stamps), np.nan, stamps.astype(np.int64))
        return parse_distinct(values, self._parse, np.nan).astype(np.float64)

    def _parse(self, value: Any) -> float:
        stamp = to_datetime(value, self._frequency)
        self._check_zone(stamp)
        if self._zone is not None:
            stamp = pd.Timestamp(stamp).tz_convert(self._zone).tz_localize(None)
        return float(np.datetime64(stamp, "us").astype(np.int64))

    def _check_zone(self, stamp: Any) -> None:
        has_zone = stamp.tzinfo is not None
        if has_zone is not (self._zone is not None):
            zone = f"the time zone {self._zone}" if self._zone else "no time zone"
            raise ValueError(
                f"has {'a' if has_zone else 'no'} time zone, while the real column has {zone}. "
                "Convert the column with Series.dt.tz_localize or Series.dt.tz_convert"
            )


def to_datetime(value: Any, frequency: Any) -> datetime:
    """Return a datetime, a date, a period or ISO 8601 text as a datetime.

    `datetime.fromisoformat` refuses words such as "now", unlike pandas.
    """
    try:
        if isinstance(value, str) and frequency is not None and value[:1].isdigit():
            value = pd.Period(value, frequency)
        if isinstance(value, str):
            return datetime.fromisoformat(value.strip())
        if isinstance(value, pd.Period):
            return value.to_timestamp()
        if isinstance(value, date | np.datetime64):
            return pd.Timestamp(value)
    except ValueError as error:
        raise ValueError("is not a datetime in the format of ISO 8601") from error
    raise ValueError("is not a datetime. Convert the column with pandas.to_datetime")


class DurationReader(ColumnReader):
    """Reader of durations as microseconds."""

    is_numeric = True

    def read(self, column: Any) -> np.ndarray:
        values = column
        if values.dtype.kind == "m":
            durations = values.to_numpy(dtype="timedelta64[us]")
            return np.where(np.isnat(durations), np.nan, durations.astype(np.int64))
        return parse_distinct(values, parse_duration, np.nan).astype(np.float64)


def parse_duration(value: Any) -> float:
    # pandas reads text without a unit, such as "5", as nanoseconds.
    is_text = isinstance(value, str) and _DURATION.match(value.strip())
    if not is_text and not isinstance(value, timedelta | np.timedelta64):
        raise ValueError("is not a duration. Convert the column with pandas.to_timedelta")
    try:
        return float(pd.Timedelta(value).to_timedelta64().astype("timedelta64[us]").astype(int))
    except ValueError as error:
        raise ValueError("is not a duration") from error


class TimeOfDayReader(ColumnReader):
    """Reader of times of day as microseconds since midnight."""

    is_numeric = True

    def read(self, column: Any) -> np.ndarray:
        return parse_distinct(column, _parse_time_of_day, np.nan).astype(np.float64)


def _parse_time_of_day(value: Any) -> float:
    if isinstance(value, str):
        try:
            value = time.fromisoformat(value.strip())
        except ValueError as error:
            raise ValueError("is not a time of day in the format of ISO 8601") from error
    if not isinstance(value, time):
        raise ValueError("is not a time of day")
    since_midnight = datetime.combine(date.min, value.replace(tzinfo=None)) - datetime.min
    return float(since_midnight // timedelta(microseconds=1))
