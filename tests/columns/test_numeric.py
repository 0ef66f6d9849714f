"""Bins of numbers, datetimes and durations."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from helpers_columns import (
    START,
    STEPS,
    N,
    bin_probability,
    bins_of,
    codec_of,
    column,
    decode,
    edges_of,
    encode,
    every_numeric_column,
    with_and_without_missing,
)

HALF = np.arange(N) % 2 == 0
TIME_STEPS = {"days": "1D", "seconds": "1s", "microseconds": "1us", "zoned": "1h"}

# ---- Decoded numbers -----------------------------------------------------------------


@every_numeric_column
@with_and_without_missing
def test_decoded_numbers_stay_within_the_range_of_training(name, missing):
    values = column(name, missing)
    codec = codec_of(values)
    observed = np.flatnonzero(bins_of(codec).observed)
    decoded = pd.concat([decode(codec, observed, position) for position in (0.0, 0.4, 0.999)])
    assert decoded.min() == values.min()
    assert decoded.max() <= values.max()
    assert decoded.isna().any() == missing


@pytest.mark.parametrize("name", ["int64", "int8", "Int8", "float64", "one decimal", "days"])
def test_decoded_numbers_stay_within_the_range_at_the_right_edge_of_a_bin(name):
    codec = codec_of(column(name))
    observed = np.flatnonzero(bins_of(codec).observed)
    assert decode(codec, observed, np.nextafter(1, 0)).max() <= column(name).max()


@pytest.mark.parametrize("name", STEPS)
@with_and_without_missing
def test_decoded_numbers_have_no_more_decimals(name, missing):
    values = column(name, missing)
    codec = codec_of(values)
    positions = np.random.RandomState(1).uniform(size=N)
    decoded = decode(codec, encode(codec, values), positions).dropna().astype(float)
    # Equal to the last bit.
    decimals = round(-np.log10(STEPS[name]))
    assert_array_equal(decoded, decoded.round(decimals))
    assert decoded.nunique() > 5


@pytest.mark.parametrize("name", TIME_STEPS)
def test_decoded_times_are_multiples_of_the_unit(name):
    values = column(name)
    codec = codec_of(values)
    positions = np.random.RandomState(1).uniform(0.01, 0.8, size=N)
    decoded = decode(codec, encode(codec, values), positions)
    elapsed = decoded - START.tz_localize(decoded.dt.tz)
    assert (elapsed % pd.Timedelta(TIME_STEPS[name]) == pd.Timedelta(0)).all()
    assert (decoded != values).any()


def test_decoded_days_in_a_time_zone_are_days():
    values = column("days").dt.tz_localize("Europe/Berlin")
    codec = codec_of(values)
    positions = np.random.RandomState(0).uniform(size=N)
    decoded = decode(codec, encode(codec, values), positions)
    assert (decoded == decoded.dt.normalize()).all()


def test_decoded_float32_numbers_have_no_more_decimals():
    values = column("one decimal").astype(np.float32)
    codec = codec_of(values)
    decoded = decode(codec, encode(codec, values), 0.3)
    assert (decoded == decoded.round(1)).all()


@pytest.mark.parametrize("value", [849.31287, 849.3129, 5000.123, 0.1])
def test_constant_float32_numbers_are_decoded_exactly(value):
    values = pd.Series([value], dtype=np.float32)
    codec = codec_of(values)
    assert decode(codec, encode(codec, values)).equals(values)


# ---- Extreme numbers -----------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e150, 1e-150, 1e-300])
def test_decoded_numbers_are_close_at_any_scale(scale):
    values = pd.Series(scale * np.random.RandomState(0).normal(size=N))
    codec = codec_of(values)
    assert np.isfinite(bins_of(codec).log_width).all()
    bin_index = encode(codec, values)
    decoded = decode(codec, bin_index)
    assert_array_equal(encode(codec, decoded), bin_index)
    assert_allclose(decoded, values, atol=scale)
    assert np.corrcoef(decoded / scale, values / scale)[0, 1] > 0.99
    assert not np.isnan(encode(codec, [0.0, 1e300, -1e300, 5e-324])).any()


@pytest.mark.parametrize("scale", [1e200, 1e300, 4e307])
def test_decoded_numbers_near_overflow_stay_in_range(scale):
    values = pd.Series(scale * np.random.RandomState(0).uniform(-4, 4, size=N))
    codec = codec_of(values)
    assert np.isfinite(bins_of(codec).log_width).all()
    assert decode(codec, encode(codec, values)).between(values.min(), values.max()).all()


@pytest.mark.parametrize("value", [1e200, 1e300, -1.7e308])
def test_constants_near_overflow_are_decoded_exactly(value):
    values = pd.Series([value] * 30)
    codec = codec_of(values)
    assert (decode(codec, encode(codec, values)) == value).all()


@pytest.mark.parametrize(
    "value", [2**52 + 1, 2**53 - 2, pd.Timestamp("2024-05-06 07:08:09.123457")], ids=str
)
def test_large_integers_and_fine_times_are_decoded_exactly(value):
    values = pd.Series([value] * 30)
    codec = codec_of(values)
    for position in (0.0, 0.5, 0.9, 0.999):
        assert (decode(codec, encode(codec, values), position) == value).all()


@pytest.mark.parametrize("value", [2**53, 2**63 - 1, -(2**60)])
def test_integers_without_exact_float64_are_an_error_unless_categorical(value):
    with pytest.raises(ValueError, match=r"Column 'c' .* beyond 2\*\*53"):
        codec_of(pd.Series([value] * 30))
    categorical = codec_of(pd.Series([value] * 30).astype("category"))
    assert decode(categorical, [0]).iloc[0] == value


def test_decoded_numbers_with_a_large_offset_are_close():
    values = pd.Series(1e9 + np.random.RandomState(0).uniform(size=N))
    codec = codec_of(values)
    decoded = decode(codec, encode(codec, values))
    assert decoded.between(values.min(), values.max()).all()
    assert (decoded - values).abs().max() < 0.1


# ---- Edges and densities -------------------------------------------------------------


@every_numeric_column
@with_and_without_missing
def test_bins_cover_the_line_without_gaps_or_overlaps(name, missing):
    codec = codec_of(column(name, missing))
    left, right = edges_of(codec)
    end = np.where(left == right, np.nextafter(right, np.inf), right)
    assert_array_equal(end[:-1], left[1:])
    assert left[0] < -1e100
    assert right[-1] > 1e100
    level = np.array(bins_of(codec).level)[: len(left)]
    assert set(np.diff(level)) <= {0, 1}
    assert len(left) == bins_of(codec).n_bins - missing


@every_numeric_column
@with_and_without_missing
def test_density_integrates_to_1(name, missing):
    codec = codec_of(column(name, missing))
    bins = bins_of(codec)
    left, right = edges_of(codec)
    width = np.append(right - left, np.zeros(int(missing)))
    width[width == 0] = 1  # a single value has a mass instead of a density
    density = bin_probability(bins) / np.exp(bins.log_width)
    assert_allclose((density * width).sum(), 1, rtol=1e-9)


@pytest.mark.parametrize("name", ["int64", "int8", "uint8", "Int64", "Int8", "one decimal"])
def test_density_of_rounded_numbers_times_the_step_is_the_probability(name):
    step = STEPS[name]
    numbers = column(name).astype(float)
    codec = codec_of(column(name))
    bins = bins_of(codec)
    grid = np.arange(round(numbers.min() / step), round(numbers.max() / step) + 1)
    n_points = np.bincount(encode(codec, grid / round(1 / step)).astype(int))
    inside = n_points > 0
    density = bin_probability(bins) / np.exp(bins.log_width)
    mass = n_points * step * density[: len(n_points)]
    assert_allclose(mass[inside], bin_probability(bins)[: len(n_points)][inside], rtol=1e-9)


@every_numeric_column
def test_bins_and_levels_are_in_increasing_order(name):
    values = column(name).sort_values()
    codec = codec_of(values)
    bins = bins_of(codec)
    assert (np.diff(encode(codec, values)) >= 0).all()
    assert (np.diff(bins.level) >= 0).all()
    assert bins.n_ordered == bins.n_levels


def test_unseen_numbers_together_have_the_probability_of_about_one_row():
    bins = bins_of(codec_of(column("float64")))
    p = bin_probability(bins)[~np.array(bins.observed)].sum()
    assert 0.5 / N < p < 1.5 / N


def test_density_decreases_with_the_distance_from_the_training_values():
    codec = codec_of(column("float64"))
    bins = bins_of(codec)
    far = encode(codec, -(10.0 ** np.arange(1, 130, 4))).astype(int)
    log_density = np.log(bin_probability(bins)[far]) - np.array(bins.log_width)[far]
    steps = np.diff(log_density[np.diff(far, prepend=-1) != 0])
    assert len(steps) >= 5
    assert (steps < 0).all()


# ---- Levels --------------------------------------------------------------------------


@every_numeric_column
@with_and_without_missing
def test_level_means_are_the_mean_midpoints_of_observed_bins(name, missing):
    values = column(name, missing)
    codec = codec_of(values)
    (numeric,) = codec.codecs
    left, right = edges_of(codec)
    if name in STEPS or "float" not in str(values.dtype).lower():
        right = right - STEPS.get(name, 1)  # the last value of the bin
    bin_index = encode(codec, values)
    bin_index = bin_index[bin_index < len(left)].astype(int)
    level = np.array(bins_of(codec).level)[bin_index]
    midpoints = ((left + right) / 2)[bin_index]
    expected = np.bincount(level, midpoints) / np.bincount(level)
    actual = numeric.level_means()
    assert_allclose(actual[: len(expected)], expected, rtol=1e-12, atol=1e-12)
    assert np.isnan(actual[len(expected) :]).tolist() == [True] * missing


def test_level_means_of_frequent_numbers_are_the_numbers():
    (numeric,) = codec_of(pd.Series([0.5, 2.5, 7.5] * 30)).codecs
    assert numeric.level_means().tolist() == [0.5, 2.5, 7.5]


@pytest.mark.parametrize(("n_rows", "n_levels"), [(400, 20), (5000, 50)])
def test_levels_of_a_continuous_column_have_equally_many_rows(n_rows, n_levels):
    bins = bins_of(codec_of(np.random.RandomState(0).normal(size=n_rows)))
    assert bins.counts == (n_rows / n_levels,) * n_levels


def test_frequent_number_has_a_level_with_a_single_value():
    values = column("zero-inflated")
    codec = codec_of(values)
    bins = bins_of(codec)
    zero = int(encode(codec, [0.0])[0])
    same_level = [k for k, level in enumerate(bins.level) if level == bins.level[zero]]
    assert [k for k in same_level if bins.observed[k]] == [zero]
    assert bins.counts[bins.level[zero]] == (values == 0).sum()
    assert bins.log_width[zero] == 0  # a mass
    assert (decode(codec, [zero] * 3, [0.0, 0.5, 0.99]) == 0).all()
    # No other observed bin contains zero.
    observed = np.flatnonzero(bins.observed)
    assert (decode(codec, observed[observed != zero], 0.0) > 0).all()


@pytest.mark.parametrize(("n_rows", "n_frequent"), [(600, 20), (40_000, 42)])
def test_number_is_frequent_with_twenty_rows_and_a_thousandth_of_all_rows(n_rows, n_frequent):
    numbers = np.random.RandomState(0).normal(size=n_rows)
    for n, is_frequent in ((n_frequent, True), (n_frequent - 5, False)):
        codec = codec_of(np.concatenate([numbers, np.repeat([0.5, -1.0], n)]))
        bins = bins_of(codec)
        level = np.array(bins.level)
        for bin_index in encode(codec, [0.5, -1.0]).astype(int):
            observed = np.array(bins.observed)[level == level[bin_index]]
            assert (bins.counts[level[bin_index]] == n) == is_frequent
            assert observed.sum() == 1 or not is_frequent
            assert bins.log_width[bin_index] == 0 or not is_frequent


def test_number_in_a_single_row_has_a_density():
    spikes = np.repeat(np.arange(20) / 2 + 1e-7, 30)
    values = np.concatenate([spikes, np.random.RandomState(0).uniform(0, 10, 30)])
    codec = codec_of(values)
    bins = bins_of(codec)
    n_rows = np.bincount(encode(codec, values).astype(int), minlength=bins.n_bins)
    left, right = edges_of(codec)
    is_mass = (left == right) & np.array(bins.observed)
    assert n_rows[is_mass].min() > 1


@pytest.mark.parametrize("dtype", ["float64", "Int64", "datetime64[ns]"])
def test_values_of_columns_without_training_values_are_not_observed(dtype):
    codec = codec_of(pd.Series([None] * 20, dtype=dtype))
    later = pd.Series([None, 5], dtype="Int64").astype(dtype)
    assert_array_equal(encode(codec, later), [0, np.nan])
