"""Columns at the edge of what codecs take: each was once read or drawn wrongly."""

import numpy as np
import pandas as pd
import pytest
import torch
from test_columns import N, cells_of, codec_of, column, decode, encode

from skvae import TabularVAE
from skvae.columns import FrameCodec
from skvae.likelihoods import Histogram

FAST = {"latent_dim": 2, "hidden_layer_sizes": (8,), "max_iter": 2, "random_state": 0}
HALF = np.arange(N) % 2 == 0


@pytest.mark.parametrize("n_declared", [0, 1000])
def test_rare_categories_are_drawn_as_often_as_they_had_rows(n_declared):
    declared = ["a", "b", *(f"u{k}" for k in range(n_declared))]
    X = pd.DataFrame({"c": pd.Categorical(["a"] * 491 + ["b"] * 9, categories=declared)})
    codec = FrameCodec(X, {})
    likelihood = codec.likelihood
    zeros = torch.zeros(1, likelihood.decoder_width(1), dtype=torch.float64)
    (p,) = likelihood.sampling_weights(0, zeros, likelihood.constants())
    assert (p[1] / p.sum()).item() == pytest.approx(9 / 500, rel=0.07)


@pytest.mark.parametrize("kind", ["unordered", "ordered"])
def test_an_undeclared_category_gives_no_warning(kind):
    codec = codec_of(column(kind))
    for values in (pd.Series(["new"]), pd.Series(["new"], dtype="category")):
        assert not cells_of(codec).observed[int(encode(codec, values)[0])]


@pytest.mark.parametrize("value", ["False", "word", 1.5, "0"])
def test_no_truth_value_is_made_of_anything_else(value):
    codec = codec_of(column("bool"))
    values = pd.Series([True, value], dtype=object)
    try:
        cell = encode(codec, values)[1]
    except (TypeError, ValueError):
        return
    assert not cells_of(codec).observed[int(cell)]


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([None] * 5, dtype=object),
        pd.Series([None] * 5, dtype="string"),
        pd.Series([None] * 5, dtype="boolean"),
        pd.Series(pd.Categorical([None] * 5)),
    ],
    ids=["object", "string", "boolean", "category"],
)
def test_a_column_without_any_category_comes_back_empty(values):
    codec = codec_of(values)
    back = decode(codec, encode(codec, values))
    assert back.dtype == values.dtype
    assert back.isna().all()


@pytest.mark.parametrize("values", [["a", "b"], [1, 2], [1.5, 2.5], [True, False]])
def test_objects_come_back_as_objects(values):
    values = pd.Series(values * 20, dtype=object)
    assert decode(codec_of(values), encode(codec_of(values), values)).dtype == object


@pytest.mark.parametrize("value", [1e200, 1e300, -1.7e308])
def test_huge_constants_come_back(value):
    values = pd.Series([value] * 30)
    codec = codec_of(values)
    assert (decode(codec, encode(codec, values)) == value).all()


@pytest.mark.parametrize("scale", [1e200, 1e300, 4e307])
def test_huge_numbers_come_back(scale):
    values = pd.Series(scale * np.random.RandomState(0).uniform(-4, 4, size=N))
    codec = codec_of(values)
    assert np.isfinite(cells_of(codec).log_width).all()
    assert decode(codec, encode(codec, values)).between(values.min(), values.max()).all()


@pytest.mark.parametrize(
    "value", [2**52 + 1, 2**53 - 2, pd.Timestamp("2024-05-06 07:08:09.123457")], ids=str
)
def test_a_large_constant_comes_back_alone(value):
    values = pd.Series([value] * 30)
    codec = codec_of(values)
    for position in (0.0, 0.5, 0.9, 0.999):
        assert (decode(codec, encode(codec, values), position) == value).all()


def test_numbers_stay_in_range_at_the_very_end_of_a_cell():
    for name in ("int64", "int8", "Int8", "float64", "one decimal", "days"):
        codec = codec_of(column(name))
        observed = np.flatnonzero(cells_of(codec).observed)
        back = decode(codec, observed, np.nextafter(1, 0))
        assert back.max() <= column(name).max()


def test_complex_numbers_are_an_error():
    with pytest.raises((TypeError, ValueError)):
        codec_of(pd.Series(np.arange(30) * 1j))


@pytest.mark.parametrize("kind", ["foo", "Numeric", None, 5])
def test_an_unknown_kind_is_an_error(kind):
    with pytest.raises((TypeError, ValueError)):
        FrameCodec(pd.DataFrame({"c": [1, 2, 3]}), {"c": kind})


@pytest.mark.parametrize(
    ("name", "condition"),
    [
        ("int64", pd.Interval(29, np.inf)),
        ("float64", pd.Interval(-np.inf, 0)),
        ("days", pd.Interval(pd.Timestamp("2024-06-01"), pd.Timestamp.max)),
    ],
)
def test_intervals_may_be_open_ended(name, condition):
    codec = codec_of(column(name))
    ((_, part),) = codec.allowed_ranges({"c": condition}).items()
    assert (part[:, 1] > part[:, 0]).any()
    expected = column(name).map(lambda value: value in condition)
    frame = pd.DataFrame({"c": column(name)})
    np.testing.assert_array_equal(codec.satisfies(frame, {"c": condition}), expected)


@pytest.mark.parametrize(
    ("name", "condition"),
    [
        ("int64", 30.5),
        ("int64", pd.Interval(30.4, 30.6)),
        ("int64", pd.Interval(30, 31, "neither")),
        ("one decimal", 0.15),
        ("inflated", pd.Interval(-1, 0, "left")),
    ],
    ids=str,
)
def test_a_condition_between_the_values_there_are_is_an_error_at_once(name, condition):
    with pytest.raises(ValueError, match="No value that column 'c' had"):
        codec_of(column(name)).allowed_ranges({"c": condition})


def test_days_of_a_time_zone_stay_days():
    values = column("days").dt.tz_localize("Europe/Berlin")
    codec = codec_of(values)
    back = decode(codec, encode(codec, values), np.random.RandomState(0).uniform(size=N))
    assert (back == back.dt.normalize()).all()


def test_a_time_without_a_zone_is_local_or_an_error():
    days = column("days")
    values = days.dt.tz_localize("Europe/Berlin")
    frame = pd.DataFrame({"c": values})
    try:
        satisfied = codec_of(values).satisfies(frame, {"c": str(days[0])})
    except (TypeError, ValueError):
        return
    assert satisfied[0]


def test_decimals_of_single_precision_do_not_grow():
    values = column("one decimal").astype(np.float32)
    codec = codec_of(values)
    back = decode(codec, encode(codec, values), 0.3)
    assert (back == back.round(1)).all()


@pytest.mark.parametrize("value", [849.31287, 849.3129, 5000.123, 0.1])
def test_numbers_of_single_precision_come_back_as_they_are(value):
    values = pd.Series([value], dtype=np.float32)
    codec = codec_of(values)
    assert decode(codec, encode(codec, values), 0.5).equals(values)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_number_is_asked_for_as_the_dtype_has_it(dtype):
    values = pd.Series([0.1, 0.2] * 20, dtype=dtype)
    codec = codec_of(values)
    assert codec.satisfies(pd.DataFrame({"c": values}), {"c": 0.1}).tolist() == [True, False] * 20
    assert not codec.satisfies(pd.DataFrame({"c": values}), {"c": 1e10}).any()


def test_decimals_of_single_precision_can_be_asked_for():
    values = pd.Series(np.where(HALF, 0.1, column("inflated") + 1).astype(np.float32))
    ((_, part),) = codec_of(values).allowed_ranges({"c": 0.1}).items()
    assert (part[:, 1] > 0).sum() == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_column_is_drawn_from_even_where_rounding_leaves_no_probability(dtype):
    p = torch.zeros(50, 4, dtype=dtype)
    p[0, 2] = 1
    drawn = Histogram.draw(p, torch.Generator().manual_seed(0))
    assert drawn[0] == 2
    assert drawn[1:].unique().tolist() == [0, 1, 2, 3]


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_lists_are_reconstructed_by_a_model_of_frames():
    X = pd.DataFrame({"a": [1, 2] * 20, "b": [3.5, 4.5] * 20})
    vae = TabularVAE(**FAST).fit(X)
    assert len(vae.reconstruct(X.to_numpy().tolist())) == 40


def test_integers_as_categories_may_be_unseen_floats():
    codec = codec_of(pd.Series([1, 2, 3] * 20), "categorical")
    assert not cells_of(codec).observed[int(encode(codec, pd.Series([1.5]))[0])]


def test_log_prob_broadcasts_rows_of_parameters():
    cells = cells_of(codec_of(pd.Series([1, 2] * 20)))
    likelihood = Histogram((cells,))
    zeros = torch.zeros(1, likelihood.decoder_width(1), dtype=torch.float64)
    params = {"coefficients": zeros, **likelihood.constants()}
    assert likelihood.log_prob(torch.zeros(5, 1, dtype=torch.float64), params).shape == (5, 1)


def test_polars_frames_have_names():
    pl = pytest.importorskip("polars")
    vae = TabularVAE(**FAST).fit(pl.DataFrame({"n": [1, 2] * 20}))
    assert vae.feature_names_in_.tolist() == ["n"]
    assert (vae.sample(20, conditions={"n": 1}, random_state=0) == 1).all()


def test_a_number_of_one_row_is_no_mass():
    spikes = np.repeat(np.arange(20) / 2 + 1e-7, 30)
    values = np.concatenate([spikes, np.random.RandomState(0).uniform(0, 10, 30)])
    codec = codec_of(values)
    cell = encode(codec, values).astype(int)
    n_rows = np.bincount(cell, minlength=len(cells_of(codec).level))
    (numeric,) = codec.codecs
    is_mass = (numeric._left == numeric._right) & np.array(cells_of(codec).observed)
    assert n_rows[is_mass].min() > 1


@pytest.mark.parametrize("value", [2**53, 2**63 - 1, -(2**60)])
def test_integers_that_floating_point_cannot_tell_apart_are_an_error(value):
    with pytest.raises(ValueError, match=r"Column 'c' .* beyond 2\*\*53"):
        codec_of(pd.Series([value] * 30))
    categories = codec_of(pd.Series([value] * 30).astype("category"))
    assert decode(categories, [0]).iloc[0] == value


def test_conditions_are_a_mapping():
    X = pd.DataFrame({"c": np.arange(40)})
    with pytest.raises(TypeError, match="conditions must map names"):
        TabularVAE(**FAST).fit(X).sample(conditions=["c"])
