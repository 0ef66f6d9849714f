"""Datetimes, dates, durations, periods and times of day as floating-point numbers."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd

from ..serialization import serializable
from ..utils import MAX_EXACT_INTEGER
from ._casts import (
    check_all,
    check_restored,
    raise_inexpressible,
    raise_wrong_kind,
)
from ._units import Units

_DAY = 86_400_000_000
# Day, hour, minute, second, millisecond and microsecond, in microseconds.
_TIME_UNITS = (_DAY, 3_600_000_000, 60_000_000, 1_000_000, 1_000, 1)


def _largest_unit(microseconds: np.ndarray) -> int:
    """Return the largest unit of time that divides all numbers of microseconds, (n,)."""
    return next(unit for unit in _TIME_UNITS if not (microseconds % unit).any())


@serializable
class Times(Units):
    """Datetimes or durations, as multiples of a unit.

    The unit is the largest of day, hour, minute, second, millisecond and microsecond that divides
    all training values. Nanoseconds are the unit of durations and datetimes that need them and are
    small enough for float64, and are cut off otherwise. Datetimes with a time zone count in local
    time, or in UTC if the hour that occurs twice in autumn makes local time ambiguous.

    Parameters
    ----------
    values : Series
        Training data.

    Raises
    ------
    ValueError
        If float64 cannot count a value in microseconds.
    """

    def __init__(self, values: Any) -> None:
        self.dtype = values.dtype
        self.is_duration = values.dtype.kind == "m"
        self._ticks = "us"
        present = values[values.notna().to_numpy()]
        self._is_local = True
        if self._zone is not None:
            self._is_local = bool((self._localize(self._naive(present)) == present).all())
        if self._needs_nanoseconds(present):
            self._ticks, self.size = "ns", 0.001
        else:
            self.size = _largest_unit(self._count_ticks(present))
        self._check_exact(self._count_ticks(present))

    def _check_invariants(self) -> None:
        super()._check_invariants()
        check_restored(self._ticks == "ns" or (self._ticks == "us" and self.size >= 1))

    @property
    def _zone(self) -> Any:
        return getattr(self.dtype, "tz", None)

    def _needs_nanoseconds(self, values: Any) -> bool:
        if not self.dtype.name.startswith(("datetime64[ns", "timedelta64[ns")):
            return False
        nanoseconds = self._naive(values).to_numpy().astype(np.int64)
        return bool((nanoseconds % 1000).any() and (np.abs(nanoseconds) < MAX_EXACT_INTEGER).all())

    def _naive(self, values: Any) -> Any:
        """Return datetimes without a time zone, in local time or in UTC."""
        if self._zone is None:
            return values
        zone = self._zone if self._is_local else "UTC"
        return values.dt.tz_convert(zone).dt.tz_localize(None)

    def _localize(self, stamps: Any) -> Any:
        """Return datetimes in the time zone of the column, from `_naive` datetimes."""
        if not self._is_local:
            return stamps.dt.tz_localize("UTC").dt.tz_convert(self._zone)
        # The hour that occurs twice in autumn counts as daylight saving time.
        is_daylight_saving = np.ones(len(stamps), dtype=bool)
        return stamps.dt.tz_localize(
            self._zone, ambiguous=is_daylight_saving, nonexistent="shift_forward"
        )

    def _count_ticks(self, values: Any) -> np.ndarray:
        kind = "timedelta64" if self.is_duration else "datetime64"
        stamps = self._naive(values)
        if stamps.dt.unit in ("s", "ms"):
            stamps = stamps.dt.as_unit(self._ticks)  # NumPy does not notice an overflow
        ticks: np.ndarray = stamps.to_numpy(dtype=f"{kind}[{self._ticks}]")
        return ticks.astype(np.int64)

    def _check_exact(self, ticks: np.ndarray) -> None:
        is_near_overflow = (np.abs(ticks) >= 2**62).any()
        if is_near_overflow or (self._to_ticks(ticks / self._ticks_per_unit) != ticks).any():
            kind = "durations" if self.is_duration else "datetimes"
            raise ValueError(
                f"it has {kind} too long for float64 to count the microseconds: round them with "
                "Series.dt.floor('s'), or replace those that stand for infinity by missing values"
            )

    @property
    def _ticks_per_unit(self) -> int:
        return 1 if self._ticks == "ns" else int(self.size)

    def _to_ticks(self, numbers: np.ndarray) -> np.ndarray:
        # In integers: float64 has no exact product for far dates.
        return np.rint(numbers).astype(np.int64) * self._ticks_per_unit

    def _numbers(self, values: Any) -> np.ndarray:
        return self._count_ticks(self._convert(values)) / self._ticks_per_unit

    def _convert(self, values: Any) -> Any:
        """Return values as a Series of datetimes or durations.

        Datetimes without a time zone and datetimes in UTC are interchangeable.

        Raises
        ------
        TypeError, ValueError
            If a value is of another kind, or if the values have no time zone but the column has
            one other than UTC, or the reverse.
        """
        if values.dtype == object:
            classes: tuple[type, ...] = (datetime.date, np.datetime64)
            if self.is_duration:
                classes = (datetime.timedelta, np.timedelta64)
            check_all(values, classes, "durations" if self.is_duration else "datetimes")
            convert = pd.to_timedelta if self.is_duration else pd.to_datetime
            values = convert(values)
        if self.is_duration:
            if values.dtype.kind != "m":
                raise_wrong_kind(values, "durations")
            return values
        if values.dtype.kind != "M":
            raise_wrong_kind(values, "datetimes")
        zone = values.dt.tz
        if (zone is None) == (self._zone is None):
            return values
        if not _is_utc(zone or self._zone):
            raise ValueError(
                f"it has datetimes {_in_zone(zone)}, but had datetimes {_in_zone(self._zone)} in "
                "fit: convert the column with Series.dt.tz_localize or Series.dt.tz_convert"
            )
        return values.dt.tz_localize("UTC" if zone is None else None)

    def _cast(self, values: Any) -> Any:
        # Without a detour through local time, in which an hour occurs twice in autumn.
        converted = self._convert(values)
        try:
            result = converted.astype(self.dtype)
        except (pd.errors.OutOfBoundsDatetime, pd.errors.OutOfBoundsTimedelta):
            limits = pd.Timedelta if self.is_duration else pd.Timestamp
            is_inside = self._naive(converted).between(limits.min, limits.max).to_numpy()
            raise_inexpressible(values[~is_inside], self.dtype)
        is_lost = (result != converted).to_numpy()
        if is_lost.any():
            raise_inexpressible(values[is_lost], self.dtype)
        return result

    def values(self, numbers: np.ndarray) -> Any:
        is_missing = np.isnan(numbers)
        ticks = self._to_ticks(np.where(is_missing, 0, numbers))
        kind = "timedelta64" if self.is_duration else "datetime64"
        stamps = pd.Series(ticks.astype(f"{kind}[{self._ticks}]"))
        if self._zone is not None:
            stamps = self._localize(stamps)
        return stamps.astype(self.dtype).mask(is_missing)

    def _parse(self, value: Any) -> Any:
        if isinstance(value, str | np.timedelta64):
            value = pd.Timedelta(value) if self.is_duration else pd.Timestamp(value)
        if isinstance(value, datetime.date | np.datetime64) and not pd.isna(value):
            value = pd.Timestamp(value)
            if value.tz is None and self._zone is not None:
                # Conditions without a zone are in local time.
                value = value.tz_localize(self._zone, ambiguous=True, nonexistent="shift_forward")
        return value


def _is_utc(zone: Any) -> bool:
    return zone.utcoffset(None) == datetime.timedelta(0)


def _in_zone(zone: Any) -> str:
    return "without a time zone" if zone is None else f"in the time zone {zone}"


@serializable
class Dates(Units):
    """Objects of the class `datetime.date`, as numbers of days."""

    size = _DAY

    def __init__(self) -> None:
        self.dtype = np.dtype(object)

    def _numbers(self, values: Any) -> np.ndarray:
        if values.dtype == object:
            check_all(values, (datetime.date, np.datetime64), "dates")
            is_datetime = values.map(lambda value: isinstance(value, datetime.datetime))
            if is_datetime.any():
                raise_wrong_kind(values[is_datetime], "dates without times of day")
        elif values.dtype.kind != "M":
            raise_wrong_kind(values, "dates")
        stamps = values.to_numpy(dtype="datetime64[us]").astype(np.int64)
        return stamps / _DAY

    def values(self, numbers: np.ndarray) -> Any:
        is_missing = np.isnan(numbers)
        days = np.where(is_missing, 0, np.rint(numbers)).astype("datetime64[D]")
        return _as_objects(days.astype(object), is_missing)

    def _parse(self, value: Any) -> Any:
        return pd.Timestamp(value) if isinstance(value, str) else value


@serializable
class TimesOfDay(Units):
    """Objects of the class `datetime.time`, as multiples of a unit since midnight.

    Parameters
    ----------
    values : Series of object
        Training data.
    """

    def __init__(self, values: Any) -> None:
        self.dtype = np.dtype(object)
        self.size = 1
        present = values[values.notna().to_numpy()]
        self.size = _largest_unit(self._numbers(present).astype(np.int64))

    def _numbers(self, values: Any) -> np.ndarray:
        check_all(values, (datetime.time,), "times of day")
        if any(value.tzinfo is not None for value in values):
            raise ValueError(
                "it has times of day with a time zone: convert the column to datetimes or strings"
            )
        microseconds = [
            ((v.hour * 60 + v.minute) * 60 + v.second) * 1_000_000 + v.microsecond for v in values
        ]
        return np.array(microseconds, dtype=np.float64) / self.size

    def values(self, numbers: np.ndarray) -> Any:
        is_missing = np.isnan(numbers)
        counts = np.rint(np.where(is_missing, 0, numbers) * self.size).clip(0, _DAY - 1)
        midnight = datetime.datetime(1970, 1, 1)
        times = [
            (midnight + datetime.timedelta(microseconds=count)).time() for count in counts.tolist()
        ]
        return _as_objects(times, is_missing)

    def _parse(self, value: Any) -> Any:
        return datetime.time.fromisoformat(value) if isinstance(value, str) else value


@serializable
class Periods(Units):
    """Periods of one frequency, as ordinal numbers.

    Parameters
    ----------
    dtype : PeriodDtype
        Dtype of the column.
    """

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype

    def _numbers(self, values: Any) -> np.ndarray:
        if values.dtype == object:
            check_all(values, (pd.Period,), "periods")
            values = values.infer_objects()
        if values.dtype != self.dtype:
            raise_wrong_kind(values, f"periods of dtype {self.dtype}")
        ordinals: np.ndarray = values.array.asi8
        if (np.abs(ordinals) >= MAX_EXACT_INTEGER).any():
            raise ValueError(
                "it has periods too short for float64 to count them: convert the column to a "
                "lower frequency with Series.dt.asfreq"
            )
        return ordinals.astype(np.float64)

    def values(self, numbers: np.ndarray) -> Any:
        is_missing = np.isnan(numbers)
        ordinals = np.where(is_missing, 0, np.rint(numbers)).astype(np.int64)
        return pd.Series(pd.arrays.PeriodArray(ordinals, dtype=self.dtype)).mask(is_missing)

    def _parse(self, value: Any) -> Any:
        return pd.Period(value, freq=self.dtype.freq) if isinstance(value, str) else value


def _as_objects(values: Any, is_missing: np.ndarray) -> Any:
    """Return a Series of objects, with None for missing values."""
    objects = np.empty(len(is_missing), dtype=object)
    objects[:] = values
    objects[is_missing] = None
    return pd.Series(objects, dtype=object)
