"""Bins of categories, strings, booleans and objects."""

import datetime

import numpy as np
import pandas as pd
import pytest
import torch
from helpers_dtypes import objects
from numpy.testing import assert_allclose

from helpers_columns import (
    N,
    bins_of,
    codec_of,
    column,
    decode,
    encode,
    every_categorical_column,
    with_and_without_missing,
)
from skvae.columns import FrameCodec

# ---- Decoded categories --------------------------------------------------------------


@every_categorical_column
@with_and_without_missing
def test_categories_are_decoded_exactly(name, missing):
    values = column(name, missing)
    codec = codec_of(values)
    decoded = decode(codec, encode(codec, values), 0.9)
    is_present = ~values.isna()
    assert decoded[is_present].tolist() == values[is_present].tolist()


# ---- Levels --------------------------------------------------------------------------


def test_rare_categories_share_a_level_in_proportion_to_their_rows():
    counts = {"c": 10, "f": 1, "a": 100, "e": 3, "b": 60, "d": 9}
    codec = codec_of(pd.Series([name for name, n in counts.items() for _ in range(n)]))
    bins = bins_of(codec)
    assert bins.counts == (100, 60, 10, 13)
    level = np.array(bins.level)[encode(codec, list("abcdef")).astype(int)]
    assert level.tolist() == [0, 1, 2, 3, 3, 3]
    rare = np.exp(bins.log_fraction)[encode(codec, list("def")).astype(int)]
    assert_allclose(rare, np.array([9, 3, 1]) / 14)  # a pseudocount of 1 for unseen categories


@pytest.mark.parametrize("n_declared", [0, 1000])
def test_rare_categories_are_sampled_in_proportion_to_their_rows(n_declared):
    declared = ["a", "b", *(f"u{k}" for k in range(n_declared))]
    X = pd.DataFrame({"c": pd.Categorical(["a"] * 491 + ["b"] * 9, categories=declared)})
    likelihood = FrameCodec(X, {}).likelihood
    zeros = torch.zeros(1, likelihood.decoder_width(1), dtype=torch.float64)
    (weights,) = likelihood.sampling_weights(0, zeros, likelihood.constants())
    assert (weights[1] / weights.sum()).item() == pytest.approx(9 / 500, rel=0.07)


def test_only_the_200_most_frequent_categories_have_separate_levels():
    values = pd.Series([f"{k}" for k in range(220) for _ in range(10 + (k < 200))])
    assert bins_of(codec_of(values)).counts == (11,) * 200 + (200,)


def test_ordered_categories_have_a_level_each_in_the_declared_order():
    bins = bins_of(codec_of(column("ordered")))
    counts = column("ordered").value_counts().reindex(["z", "x", "none", "y"])
    assert bins.counts == tuple(counts)
    assert bins.n_ordered == bins.n_levels == 4
    assert bins_of(codec_of(column("unordered"))).n_ordered == 0


def test_bins_of_missing_categories_are_not_observed():
    codec = codec_of(pd.Series(pd.Categorical([None] * 5, categories=["a", "b"])))
    assert bins_of(codec).observed == (False, False, False, True)


def test_neighbours_share_levels_if_there_are_very_many_ordered_categories():
    rows = np.random.RandomState(0).randint(0, 5, size=3000)
    values = pd.Series(
        pd.Categorical.from_codes(np.repeat(np.arange(3000), rows), range(3000), True)
    )
    codec = codec_of(values)
    bins = bins_of(codec)
    assert bins.n_ordered == bins.n_levels == 200
    assert (np.diff(bins.level) >= 0).all()
    assert_allclose(bins.counts, rows.sum() / 200, atol=5)
    assert bins.observed == (*(rows > 0), False)
    present = values.drop_duplicates()
    assert decode(codec, encode(codec, present)).tolist() == present.tolist()


def test_ordered_categories_without_any_row_are_divided_into_levels():
    values = pd.Series(pd.Categorical([None] * 5, categories=range(3000), ordered=True))
    assert not any(bins_of(codec_of(values)).observed[:-1])


# ---- Unseen categories ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["unordered", "ordered"])
@pytest.mark.parametrize("dtype", [object, "category"])
def test_undeclared_category_has_an_unobserved_bin(name, dtype):
    codec = codec_of(column(name))
    bin_index = encode(codec, pd.Series(["new"], dtype=dtype))[0]
    assert not bins_of(codec).observed[int(bin_index)]


@pytest.mark.parametrize("value", ["False", "word", 1.5, "0"])
def test_values_that_are_not_boolean_are_unseen_or_an_error(value):
    codec = codec_of(column("bool"))
    try:
        bin_index = encode(codec, pd.Series([True, value], dtype=object))[1]
    except (TypeError, ValueError):
        return
    assert not bins_of(codec).observed[int(bin_index)]


# ---- Other kinds ---------------------------------------------------------------------


def test_integers_can_be_categorical():
    values = pd.Series(np.random.RandomState(0).choice([3, 5, 9], N))
    codec = codec_of(values, "categorical")
    bin_index = encode(codec, [3, 5, 9, 4])
    assert bins_of(codec).n_ordered == 0
    assert len(set(bin_index)) == 4
    assert not bins_of(codec).observed[int(bin_index[3])]
    assert decode(codec, encode(codec, values)).equals(values)


def test_floats_are_unseen_categories_of_integers():
    codec = codec_of(pd.Series([1, 2, 3] * 20), "categorical")
    assert not bins_of(codec).observed[int(encode(codec, pd.Series([1.5]))[0])]


@pytest.mark.parametrize("name", ["int64", "strings", "days", "bool", "unordered"])
def test_any_column_can_be_ordinal(name):
    values = column(name)
    codec = codec_of(values, "ordinal")
    bins = bins_of(codec)
    assert bins.n_ordered == bins.n_levels > 1
    in_order = sorted(set(values)) if name != "unordered" else ["z", "x", "y"]
    assert (np.diff(encode(codec, in_order)) > 0).all()
    decoded = decode(codec, encode(codec, values))
    assert decoded.dtype == values.dtype
    assert decoded.tolist() == values.tolist()


def test_ordered_categories_can_be_categorical():
    assert bins_of(codec_of(column("ordered"), "categorical")).n_ordered == 0


def test_categories_of_numbers_can_be_numeric():
    values = pd.Series(np.random.RandomState(0).poisson(3, N)).astype("category")
    codec = codec_of(values, "numeric")
    assert bins_of(codec) == bins_of(codec_of(values.astype(int)))
    assert decode(codec, encode(codec, values)).dtype == values.dtype


@pytest.mark.parametrize("name", ["strings", "ordered"])
def test_strings_cannot_be_numeric(name):
    with pytest.raises((TypeError, ValueError), match="Column 'c' of X"):
        codec_of(column(name), "numeric")


NOON = datetime.datetime(2020, 1, 1, 12)


@pytest.mark.parametrize(
    ("fit", "later"),
    [
        (NOON, NOON.astimezone(datetime.UTC)),
        (NOON.astimezone(datetime.UTC), NOON),
        (NOON, NOON.date()),
        (NOON.date(), NOON),
        (NOON.time(), datetime.timedelta(hours=12)),
        (pd.Period("2020"), pd.Interval(0, 1)),
        (pd.Interval(0, 1), datetime.timedelta(hours=12)),
        ((1, 2), "a"),
        (b"a", "a"),
    ],
)
def test_values_that_can_equal_no_category_are_an_error(fit, later):
    codec = FrameCodec(pd.DataFrame({"c": objects([fit] * 20)}), {"c": "categorical"})
    with pytest.raises(TypeError, match=r"of type .* in row 0, but had values such as"):
        encode(codec, objects([later]))


def test_values_without_an_order_are_not_ordinal():
    X = pd.DataFrame({"c": objects(["a", 1] * 20)})
    with pytest.raises(TypeError, match=r"'c'.*no order .*do not declare the column ordinal"):
        FrameCodec(X, {"c": "ordinal"})


def test_later_values_that_are_not_hashable_are_an_error():
    codec = codec_of(pd.Series(["a", "b"] * 20))
    with pytest.raises(TypeError, match=r"'c'.*not hashable .* convert them to strings"):
        encode(codec, objects([["a"], "b"]))
