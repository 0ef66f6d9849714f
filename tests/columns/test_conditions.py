"""Conditions on columns: allowed ranges, sampled positions, and masks of rows."""

import datetime

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from helpers_columns import (
    N,
    bins_of,
    codec_of,
    column,
    decode,
    encode,
    with_and_without_missing,
)
from skvae.columns import FrameCodec

JUNE = pd.Timestamp("2024-06-01")
AUGUST = pd.Timestamp("2024-08-01")
BERLIN = pd.Timestamp("2024-01-10", tz="Europe/Berlin")
HOURS = pd.Timedelta("1h"), pd.Timedelta("1000h")
# A column, a condition, and the same condition in terms of pandas.
CONDITIONS = {
    "an integer": ("Int64", 3, lambda x: x == 3),
    "a list of integers": ("Int64", [1, 4, 99], lambda x: x.isin([1, 4])),
    "an array of integers": ("Int64", np.array([1, 4]), lambda x: x.isin([1, 4])),
    "an integer or missing": ("Int64", [1, None], lambda x: (x == 1) | x.isna()),
    "a missing integer": ("Int64", None, lambda x: x.isna()),
    "a decimal": ("one decimal", 0.3, lambda x: x == 0.3),
    "one of wide integers": ("wide int64", 12345, lambda x: x == 12345),
    "zero": ("zero-inflated", 0, lambda x: x == 0),
    "zero or missing": ("zero-inflated", [0, np.nan], lambda x: (x == 0) | x.isna()),
    "a missing number": ("float64", np.nan, lambda x: x.isna()),
    "a missing nullable number": ("Float64", pd.NA, lambda x: x.isna()),
    "a day": ("days", JUNE, lambda x: x == JUNE),
    "a day as a string": ("days", "2024-06-01", lambda x: x == JUNE),
    "a list of days": ("days", [JUNE, AUGUST], lambda x: x.isin([JUNE, AUGUST])),
    "a missing day": ("days", pd.NaT, lambda x: x.isna()),
    "a time in a time zone": ("zoned", BERLIN, lambda x: x == BERLIN),
    "a duration": ("durations", HOURS[1], lambda x: x == HOURS[1]),
    "a boolean": ("bool", True, lambda x: x.isin([True])),
    "a nullable boolean": ("boolean", False, lambda x: x.isin([False])),
    "a missing boolean": ("boolean", None, lambda x: x.isna()),
    "a string": ("strings", "b", lambda x: x == "b"),
    "a list of strings": ("strings", ["a", "c", "z"], lambda x: x.isin(["a", "c"])),
    "a set of strings": ("string", {"a", "c"}, lambda x: x.isin(["a", "c"])),
    "a string or missing": ("string", ["a", None], lambda x: (x == "a") | x.isna()),
    "a category": ("unordered", "x", lambda x: x == "x"),
    "ordered categories": ("ordered", ["z", np.nan], lambda x: (x == "z") | x.isna()),
    "a missing category": ("ordered", None, lambda x: x.isna()),
    "an integer category": ("category of int64", [1, 2], lambda x: x.isin([1, 2])),
}
INTERVALS = {
    "integers": ("Int64", 2, 5),
    "wide integers": ("wide int64", 0, 10**8),
    "decimals": ("one decimal", -0.4, 0.7),
    "float64": ("float64", -0.4, 0.7),
    "float32": ("float32", -0.4, 0.7),
    "from zero": ("zero-inflated", 0, 0.9),
    "between spikes": ("spiked", -0.9, 0.45),
    "from a spike": ("spiked", -1.0, 0.45),
    "up to a spike": ("spiked", -0.9, 0.5),
    "days": ("days", JUNE, AUGUST),
    "microseconds": ("microseconds", pd.Timestamp("2024-01-03"), pd.Timestamp("2024-01-04")),
    "zoned": ("zoned", BERLIN, BERLIN + pd.Timedelta("9D")),
    "durations": ("durations", *HOURS),
}


def check_condition(values, condition, expected, min_kept):
    """Check the rows that satisfy a condition, and samples from the allowed ranges.

    Parameters
    ----------
    values : Series
        Training data.
    condition : object
        Condition on the column.
    expected : Series of bool
        Rows that satisfy the condition.
    min_kept : float
        Minimum fraction of samples from the allowed ranges that satisfy the condition.

    Returns
    -------
    bin_index, samples : ndarray and Series
        Samples from the allowed ranges.
    """
    codec = codec_of(values)
    satisfied = codec.satisfies(pd.DataFrame({"c": values}), {"c": condition})
    assert satisfied.dtype == bool
    assert_array_equal(satisfied, expected)
    (number, ranges), *others = codec.allowed_ranges({"c": condition}).items()
    assert number == 0
    assert not others
    assert ((ranges >= 0) & (ranges <= 1)).all()
    is_allowed = ranges[:, 1] > ranges[:, 0]
    assert not (is_allowed & ~np.array(bins_of(codec).observed)).any()
    # The allowed ranges contain all rows with the condition, and few values without.
    assert is_allowed[encode(codec, values)[satisfied].astype(int)].all()
    bin_index = np.repeat(np.flatnonzero(is_allowed), 100).astype(float)[:, None]
    positions = codec.sample_positions(bin_index, {0: ranges}, np.random.RandomState(0))
    kept = codec.satisfies(codec.decode(bin_index, positions), {"c": condition}).mean()
    assert kept >= min_kept
    return bin_index[:, 0], decode(codec, bin_index[:, 0], positions[:, 0])


# ---- Values --------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "condition", "select"), CONDITIONS.values(), ids=CONDITIONS)
def test_values_and_lists_of_values_are_sampled_exactly(name, condition, select):
    values = column(name, missing=True)
    expected = select(values).fillna(False).astype(bool)
    check_condition(values, condition, expected, min_kept=1.0)


def test_each_of_several_values_in_one_bin_is_sampled():
    values = column("days")
    bin_index = encode(codec_of(values), values)
    days = values[bin_index == bin_index[0]].drop_duplicates()
    first, last = days.min(), days.max()
    assert first < last
    _, samples = check_condition(values, [first, last], values.isin([first, last]), min_kept=0.05)
    assert {first, last} <= set(samples)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_conditions_are_rounded_to_the_precision_of_the_column(dtype):
    values = pd.Series([0.1, 0.2] * 20, dtype=dtype)
    codec, frame = codec_of(values), pd.DataFrame({"c": values})
    assert codec.satisfies(frame, {"c": 0.1}).tolist() == [True, False] * 20
    assert not codec.satisfies(frame, {"c": 1e10}).any()


def test_float32_values_among_unrounded_numbers_have_one_allowed_bin():
    is_even = np.arange(N) % 2 == 0
    values = np.where(is_even, 0.1, column("zero-inflated") + 1).astype(np.float32)
    ((_, ranges),) = codec_of(pd.Series(values)).allowed_ranges({"c": 0.1}).items()
    assert (ranges[:, 1] > 0).sum() == 1


def test_time_without_a_zone_is_local_time_or_an_error():
    days = column("days")
    values = days.dt.tz_localize("Europe/Berlin")
    frame = pd.DataFrame({"c": values})
    try:
        satisfied = codec_of(values).satisfies(frame, {"c": str(days[0])})
    except (TypeError, ValueError):
        return
    assert satisfied[0]


# ---- Intervals -----------------------------------------------------------------------


@pytest.mark.parametrize(("name", "low", "high"), INTERVALS.values(), ids=INTERVALS)
@pytest.mark.parametrize("closed", ["left", "right", "both", "neither"])
@with_and_without_missing
def test_samples_lie_in_an_interval_except_for_open_ends(name, low, high, closed, missing):
    values = column(name, missing)
    from_low = values >= low if closed in ("left", "both") else values > low
    to_high = values <= high if closed in ("right", "both") else values < high
    expected = (from_low & to_high).fillna(False).astype(bool)
    assert 0 < expected.sum() < N
    # An open end can be one of few values in a bin, so many samples may violate the condition.
    min_kept = 1.0 if closed == "both" else 0.4
    check_condition(values, pd.Interval(low, high, closed), expected, min_kept)


def test_samples_cover_the_interval():
    values = column("float64")
    condition, expected = pd.Interval(-0.41, 0.71), values.between(-0.41, 0.71)
    _, samples = check_condition(values, condition, expected, min_kept=1.0)
    assert -0.41 < samples.min() < -0.40
    assert 0.70 < samples.max() < 0.71


@pytest.mark.parametrize(
    ("name", "condition"),
    [
        ("int64", pd.Interval(29, np.inf)),
        ("float64", pd.Interval(-np.inf, 0)),
        ("days", pd.Interval(pd.Timestamp("2024-06-01"), pd.Timestamp.max)),
    ],
)
def test_intervals_can_be_unbounded(name, condition):
    codec = codec_of(column(name))
    ((_, ranges),) = codec.allowed_ranges({"c": condition}).items()
    assert (ranges[:, 1] > ranges[:, 0]).any()
    expected = column(name).map(lambda value: value in condition)
    frame = pd.DataFrame({"c": column(name)})
    assert_array_equal(codec.satisfies(frame, {"c": condition}), expected)


# ---- Several columns -----------------------------------------------------------------


def test_positions_in_columns_without_a_condition_cover_the_bin():
    frame = pd.DataFrame({"a": column("float64"), "b": column("float32")})
    codec = FrameCodec(frame, {})
    bin_index = np.zeros((2000, 2))
    bin_index[:] = codec.encode(frame)[0]
    ranges = {1: np.tile([0.2, 0.4], (codec.codecs[1].bins.n_bins, 1))}
    positions = codec.sample_positions(bin_index, ranges, np.random.RandomState(0))
    assert positions[:, 0].min() < 0.01
    assert positions[:, 0].max() > 0.99
    assert 0.2 <= positions[:, 1].min() < 0.21
    assert 0.39 < positions[:, 1].max() <= 0.4


def test_rows_must_satisfy_all_conditions():
    frame = pd.DataFrame({"a": column("Int64"), "b": column("strings")})
    codec = FrameCodec(frame, {})
    satisfied = codec.satisfies(frame, {"a": pd.Interval(1, 3), "b": "a"})
    expected = frame["a"].between(2, 3) & (frame["b"] == "a")
    assert_array_equal(satisfied, expected)
    assert codec.satisfies(frame, {}).all()


# ---- Errors --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "condition"),
    [
        ("int64", 10**6),
        ("int64", []),
        ("int64", None),
        ("int64", [None, np.nan]),
        ("int64", pd.Interval(10**6, 10**7)),
        # Between possible values.
        ("int64", 30.5),
        ("int64", pd.Interval(30.4, 30.6)),
        ("int64", pd.Interval(30, 31, "neither")),
        ("one decimal", 0.15),
        ("zero-inflated", pd.Interval(-1, 0, "left")),
        # A single value of a column of unrounded numbers.
        ("float64", 0.123),
        ("float64", pd.Interval(50, 60)),
        ("days", "1999-12-31"),
        ("days", pd.NaT),
        ("strings", "z"),
        ("strings", None),
        ("strings", []),
        ("unordered", "none"),
        ("unordered", "z and more"),
        ("bool", None),
    ],
    ids=str,
)
def test_condition_without_training_values_is_an_error(name, condition):
    with pytest.raises(ValueError, match="No training value of column 'c' satisfies"):
        codec_of(column(name)).allowed_ranges({"c": condition})


def test_condition_on_an_unknown_column_is_an_error():
    frame = pd.DataFrame({"c": column("int64")})
    codec = FrameCodec(frame, {})
    message = r"There is no column 'd': X has \['c'\]"
    with pytest.raises(ValueError, match=message):
        codec.allowed_ranges({"d": 1})
    with pytest.raises(ValueError, match=message):
        codec.satisfies(frame, {"d": 1})


@pytest.mark.parametrize(
    ("name", "condition"), [("int64", "word"), ("days", "word"), ("strings", [["a"]])]
)
def test_error_about_an_invalid_condition_names_the_column(name, condition):
    with pytest.raises((TypeError, ValueError), match="'c'"):
        codec_of(column(name)).allowed_ranges({"c": condition})


# ---- Values of other kinds ---------------------------------------------------------------


def test_conditions_equal_to_a_category_are_met():
    values = pd.Series([0, 1] * 20).astype("category")
    codec, frame = codec_of(values), pd.DataFrame({"c": values})
    for condition in (True, 1.0, [True, None]):
        assert codec.allowed_ranges({"c": condition})[0].any()
        assert codec.satisfies(frame, {"c": condition}).tolist() == [False, True] * 20


@pytest.mark.parametrize("condition", [[["a"]], np.array([["a"]]), np.array("a")])
def test_conditions_that_can_be_no_category_are_an_error(condition):
    with pytest.raises(TypeError, match=r"conditions\['c'\] .*pass a value or a list of values"):
        codec_of(pd.Series(["a", "b"] * 20)).allowed_ranges({"c": condition})


@pytest.mark.parametrize(
    ("values", "condition"),
    [
        (pd.date_range("2020", periods=20), "soon"),
        (pd.to_timedelta(range(20), unit="h"), "soon"),
        (pd.period_range("2020", periods=20), "soon"),
        ([datetime.date(2020, 1, 1)] * 20, "soon"),
        ([datetime.time(1)] * 20, "soon"),
        (range(20), 1j),
    ],
)
def test_conditions_of_another_kind_name_the_remedy(values, condition):
    with pytest.raises(ValueError, match=r"is no value of a column of dtype .*: pass a value"):
        codec_of(pd.Series(values)).allowed_ranges({"c": condition})


def test_conditions_name_one_column():
    names = pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")])
    frame = pd.DataFrame(np.arange(40).reshape(20, 2) % 2, columns=names)
    codec = FrameCodec(frame, {("a", "b"): "categorical"})
    assert list(codec.allowed_ranges({("a", "b"): 0})) == [0]
    with pytest.raises(ValueError, match="There is no column 'a'"):
        codec.allowed_ranges({"a": 0})
    with pytest.raises(ValueError, match=r"column_types names \['a'\]"):
        FrameCodec(frame, {"a": "categorical"})
