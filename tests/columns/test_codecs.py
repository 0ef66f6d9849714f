"""The contract of the codec of every column: values to bins, and back."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from helpers_columns import (
    N,
    bin_probability,
    bins_of,
    codec_of,
    column,
    decode,
    encode,
    every_column,
    missing_mask,
    with_and_without_missing,
)

# ---- Decoded values ------------------------------------------------------------------


@every_column
@with_and_without_missing
@pytest.mark.parametrize("position", [0.5, 0.01, 0.99])
def test_decoding_preserves_dtype_and_missing_values(name, missing, position):
    values = column(name, missing)
    codec = codec_of(values)
    decoded = decode(codec, encode(codec, values), position)
    assert decoded.dtype == values.dtype
    if isinstance(values.dtype, pd.CategoricalDtype):
        assert decoded.cat.categories.equals(values.cat.categories)
        assert decoded.cat.ordered == values.cat.ordered
    assert_array_equal(decoded.isna(), values.isna())
    assert values.isna().any() == missing


@every_column
@with_and_without_missing
def test_decoded_values_are_encoded_as_the_same_bins(name, missing):
    values = column(name, missing)
    codec = codec_of(values)
    bin_index = encode(codec, values)
    random_positions = np.random.RandomState(1).uniform(0.01, 0.99, size=N)
    for position in (0.5, random_positions):
        assert_array_equal(encode(codec, decode(codec, bin_index, position)), bin_index)


# ---- Missing values ------------------------------------------------------------------


@every_column
def test_missing_values_absent_from_training_count_as_not_observed(name):
    codec = codec_of(column(name))
    bin_index = encode(codec, column(name, missing=True))
    is_missing = missing_mask()
    assert_array_equal(np.isnan(bin_index), is_missing)
    assert_array_equal(bin_index[~is_missing], encode(codec, column(name))[~is_missing])


@every_column
def test_missing_values_in_training_have_the_last_bin_and_a_separate_level(name):
    values, is_missing = column(name, missing=True), missing_mask()
    codec = codec_of(values)
    bins, bin_index = bins_of(codec), encode(codec, values)
    assert (bin_index[is_missing] == bins.n_bins - 1).all()
    assert (bin_index[~is_missing] < bins.n_bins - 1).all()
    assert bins.level.count(bins.level[-1]) == 1
    assert bins.counts[-1] == is_missing.sum()
    assert bins.n_ordered < bins.n_levels


# ---- Bins ----------------------------------------------------------------------------


@every_column
@with_and_without_missing
def test_fractions_of_each_level_sum_to_1(name, missing):
    bins = bins_of(codec_of(column(name, missing)))
    assert_allclose(np.bincount(bins.level, np.exp(bins.log_fraction)), 1, rtol=1e-12)
    assert_allclose(bin_probability(bins).sum(), 1, rtol=1e-12)
    assert len(bins.log_width) == len(bins.observed) == len(bins.level)


@every_column
@with_and_without_missing
def test_fractions_of_observed_bins_are_proportional_to_training_rows(name, missing):
    values = column(name, missing)
    codec = codec_of(values)
    bins = bins_of(codec)
    level, observed = np.array(bins.level), np.array(bins.observed)
    n_rows = np.bincount(encode(codec, values).astype(int), minlength=bins.n_bins)
    assert_array_equal(n_rows > 0, observed)
    assert_allclose(np.bincount(level, n_rows), bins.counts)
    fraction = np.where(observed, np.exp(bins.log_fraction), 0)
    per_level = np.bincount(level, fraction, minlength=bins.n_levels)[level]
    rows_per_level = np.array(bins.counts)[level]
    has_rows = rows_per_level > 0
    assert_allclose(
        fraction[has_rows] / per_level[has_rows],
        n_rows[has_rows] / rows_per_level[has_rows],
        rtol=1e-12,
    )


@every_column
def test_representative_bin_has_the_median_row_of_the_level(name):
    values = column(name)
    codec = codec_of(values)
    bins = bins_of(codec)
    level = np.array(bins.level)
    bin_index = encode(codec, values).astype(int)
    for number, representative in enumerate(bins.representative_bin):
        assert level[representative] == number
        rows = np.sort(bin_index[level[bin_index] == number])
        if len(rows):
            assert rows[(len(rows) - 1) // 2] <= representative <= rows[len(rows) // 2]


# ---- Values absent from training -----------------------------------------------------

UNSEEN = {
    "before the first day": ("days", pd.Timestamp("2023-12-31")),
    "after the last day": ("days", pd.Timestamp("2200-01-01")),
    "between zero and other numbers": ("zero-inflated", 0.05),
    "below zero": ("zero-inflated", -1e-9),
    "below all numbers": ("float64", -10.0),
    "far below all numbers": ("float64", -1e308),
    "far above all numbers": ("float64", 1e308),
    "string": ("strings", "d"),
    "nullable string": ("string", "d"),
    "object": ("objects", 3),
    "declared category": ("unordered", "none"),
    "declared ordered category": ("ordered", "none"),
}


def check_unseen(values, unseen):
    codec = codec_of(values)
    bins = bins_of(codec)
    (bin_index,) = encode(codec, pd.Series([unseen])).astype(int)
    assert not bins.observed[bin_index]
    assert 0 < bin_probability(bins)[bin_index] < 1.01 / len(values) + 1e-12


@pytest.mark.parametrize(("name", "unseen"), UNSEEN.values(), ids=UNSEEN)
def test_unseen_values_have_little_probability_and_are_not_sampled(name, unseen):
    check_unseen(column(name), unseen)


@pytest.mark.parametrize("unseen", [3, 0, 7, 10**18])
def test_unseen_integers_have_little_probability_and_are_not_sampled(unseen):
    check_unseen(pd.Series([1] * 30 + [5] * 30 + [6] * 30), unseen)


def test_unseen_booleans_have_little_probability_and_are_not_sampled():
    check_unseen(pd.Series([True] * 30), False)


# ---- Constant and empty columns ------------------------------------------------------

CONSTANTS = {
    "int64": 7,
    "negative": -(10**6),
    "zero": 0.0,
    "float64": 0.1,
    "many digits": np.pi,
    "large": 1e150,
    "tiny": 1e-300,
    "time": pd.Timestamp("2024-05-06 07:08:09"),
    "zoned time": pd.Timestamp("2024-05-06 07:08:09", tz="Europe/Berlin"),
    "duration": pd.Timedelta("90min"),
    "string": "a",
    "bool": True,
}


@pytest.mark.parametrize("value", CONSTANTS.values(), ids=CONSTANTS)
@pytest.mark.parametrize("n", [1, 2, 25])
@with_and_without_missing
def test_constant_columns_are_decoded_exactly(value, n, missing):
    values = pd.Series([value] * n + [None] * missing)
    codec = codec_of(values)
    bin_index = encode(codec, values)
    for position in (0.0, 0.5, 0.9):
        decoded = decode(codec, bin_index, position)
        assert decoded.dtype == values.dtype
        assert (decoded[:n] == value).all()
        assert decoded[n:].isna().all()
    assert np.isfinite(bins_of(codec).log_width).all()
    assert np.sum(bins_of(codec).observed) == 1 + missing


@pytest.mark.parametrize(
    "dtype", ["float64", "Int64", "datetime64[ns]", "datetime64[ns, UTC]", "timedelta64[ns]"]
)
def test_numeric_columns_without_values_have_one_level(dtype):
    values = pd.Series([None] * 5, dtype=dtype)
    codec = codec_of(values)
    decoded = decode(codec, encode(codec, values))
    assert decoded.dtype == dtype
    assert decoded.isna().all()
    assert bins_of(codec).counts == (5,)


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([None] * 5, dtype=object),
        pd.Series([None] * 5, dtype="string"),
        pd.Series([None] * 5, dtype="boolean"),
        pd.Series(pd.Categorical([None] * 5)),
        pd.Series(pd.Categorical([None] * 5, categories=["a", "b"])),
    ],
    ids=["object", "string", "boolean", "category", "declared categories"],
)
def test_categorical_columns_without_values_are_decoded_as_missing(values):
    codec = codec_of(values)
    decoded = decode(codec, encode(codec, values))
    assert decoded.dtype == values.dtype
    assert decoded.isna().all()
