"""Datetimes, dates and durations as numbers, and back: limits, time zones and precision."""

import datetime

import numpy as np
import pandas as pd
import pytest

from helpers_columns import codec_of, encode

REPEATED_HOUR = pd.date_range("2020-10-25 00:00", periods=24, freq="5min", tz="UTC")


def decoded(values):
    """Return the values that a codec makes of the bins of a column."""
    codec = codec_of(values)
    frame = pd.DataFrame({"c": values})
    return codec.decode(codec.encode(frame))["c"]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_the_hour_that_occurs_twice_in_autumn_is_kept(unit):
    times = REPEATED_HOUR.tz_convert("Europe/Paris").as_unit(unit)
    values = pd.Series(times.repeat(20))
    pd.testing.assert_series_equal(decoded(values), values, check_names=False)


def test_local_midnights_are_days_although_the_distance_varies():
    days = pd.Series(pd.date_range("2020-10-20", periods=10, tz="Europe/Paris").repeat(20))
    pd.testing.assert_series_equal(decoded(days), days, check_names=False)


@pytest.mark.parametrize("condition", ["2020-10-25 02:30", "2020-03-29 02:30"])
def test_conditions_may_lie_where_the_clock_changes(condition):
    times = pd.date_range("2020-01-01", "2021-01-01", freq="30min", tz="Europe/Paris")
    codec = codec_of(pd.Series(times))
    assert codec.allowed_ranges({"c": condition})[0].any()


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59.999999", "0001-01-01T00:00:00.000001"])
def test_times_that_float64_cannot_count_are_an_error(time):
    values = pd.Series(np.array([time, "2020-01-01T00:00:00.000001"] * 20, dtype="datetime64[us]"))
    with pytest.raises(ValueError, match=r"too long for float64.*floor\('s'\)"):
        codec_of(values)
    floored = values.dt.floor("s")
    pd.testing.assert_series_equal(decoded(floored), floored, check_names=False)


def test_far_milliseconds_are_kept():
    values = pd.Series(np.array(["9999-12-31T23:59:59.999", "2020"] * 20, dtype="datetime64[us]"))
    pd.testing.assert_series_equal(decoded(values), values, check_names=False)


@pytest.mark.parametrize("kind", ["datetime64", "timedelta64"])
@pytest.mark.parametrize("unit", ["s", "ms", "us"])
def test_times_at_the_limits_of_a_dtype_are_an_error(kind, unit):
    limits = np.array([2**63 - 2, 2 - 2**63] * 20)
    with pytest.raises(ValueError, match=r"too long for float64|[Oo]ut of bounds|overflow"):
        codec_of(pd.Series(limits.astype(f"{kind}[{unit}]")))


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
def test_nanoseconds_are_not_cut_off_from_observed_times(unit):
    times = pd.Series(pd.date_range("2020-01-01", periods=40)).dt.as_unit(unit)
    later = times.dt.as_unit("ns") + pd.Timedelta(1, "ns")
    for fit, other in ((times, later), (times - times[0], later - times[0])):
        with pytest.raises(ValueError, match=r"in row 0, which the dtype .* cannot express"):
            codec_of(fit).codecs[0].cast(other)


def test_times_beyond_the_range_of_nanoseconds_name_the_row():
    times = pd.Series(pd.date_range("2020-01-01", periods=40)).dt.as_unit("ns")
    later = pd.Series(np.array(["2020", "3000"], dtype="datetime64[s]"))
    with pytest.raises(ValueError, match=r"3000.* in row 1, which the dtype .* cannot express"):
        codec_of(times).codecs[0].cast(later)
    with pytest.raises(ValueError, match=r"in row 1, which the dtype .* cannot express"):
        codec_of(times - times[0]).codecs[0].cast(later - later[0])


def test_dates_and_datetimes_are_not_mixed():
    dates = [datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1, 10)] * 20
    with pytest.raises(ValueError, match=r"dates without times of day.*row 1"):
        codec_of(pd.Series(dates, dtype=object))
    codec = codec_of(pd.Series(dates[:1] * 20, dtype=object))
    with pytest.raises(ValueError, match="dates without times of day"):
        encode(codec, pd.Series(dates, dtype=object))


def test_periods_that_float64_cannot_count_are_an_error():
    ordinals = np.int64([2**60, 2**60 + 1] * 20)
    dtype = pd.PeriodDtype(pd.offsets.Nano())
    with pytest.raises(ValueError, match=r"periods too short for float64.*asfreq"):
        codec_of(pd.Series(pd.arrays.PeriodArray(ordinals, dtype=dtype)))


@pytest.mark.parametrize(("name", "value"), [("size", 0.5), ("_ticks", "as")])
def test_units_of_files_are_checked(name, value):
    units = codec_of(pd.Series(pd.date_range("2020", periods=20))).codecs[0].units
    units._check_invariants()
    setattr(units, name, value)
    with pytest.raises(ValueError, match="do not agree"):
        units._check_invariants()
