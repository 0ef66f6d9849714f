"""Columns of every type to cells and back."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from skvae.columns import FrameCodec, as_frame

N = 400
RNG = np.random.RandomState(0)
HIDDEN = RNG.uniform(size=N) < 0.2


def times(step, n_steps=900):
    """Return a column of times in 2024 and after, so many steps of them."""
    return pd.Series(pd.Timestamp("2024-01-01") + RNG.randint(n_steps, size=N) * pd.Timedelta(step))


def strings(*categories):
    return pd.Series(RNG.choice(categories, N, p=[0.5, 0.3, 0.2]))


def inflated():
    """Return positive numbers and, in a third of the rows, zero."""
    return pd.Series(np.where(RNG.uniform(size=N) < 1 / 3, 0.0, RNG.lognormal(size=N) + 0.1))


def spiked():
    """Return numbers, a fifth of which are one of two."""
    values = RNG.normal(size=N)
    values[: N // 8], values[-N // 10 :] = 0.5, -1.0
    return pd.Series(values)


def categories(*, ordered):
    """Return categories one of which has no rows, in an order of their own."""
    values = strings("x", "y", "z")
    return pd.Series(pd.Categorical(values, categories=["z", "x", "none", "y"], ordered=ordered))


NUMERIC = {
    "int64": pd.Series(RNG.poisson(30, N)),
    "wide int64": pd.Series(RNG.randint(-(10**9), 10**9, N)),
    "int8": pd.Series(RNG.randint(-128, 128, N).astype(np.int8)),
    "uint8": pd.Series(RNG.randint(0, 256, N).astype(np.uint8)),
    "Int64": pd.Series(RNG.poisson(3, N)).astype("Int64"),
    "Int8": pd.Series(RNG.randint(-128, 128, N)).astype("Int8"),
    "float32": pd.Series(RNG.normal(size=N).astype(np.float32)),
    "float64": pd.Series(RNG.normal(size=N)),
    "Float64": pd.Series(RNG.normal(size=N)).astype("Float64"),
    "one decimal": pd.Series(RNG.normal(size=N).round(1)),
    "four decimals": pd.Series((100 * RNG.normal(size=N)).round(4)),
    "inflated": inflated(),
    "spiked": spiked(),
    "days": times("1D"),
    "seconds": times("1s", 10**8),
    "microseconds": times("1us", 10**12),
    "zoned": times("1h").dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin"),
    "durations": times("1min", 10**5) - pd.Timestamp("2024-01-01"),
}
CATEGORICAL = {
    "bool": pd.Series(RNG.uniform(size=N) < 0.3),
    "boolean": pd.Series(RNG.uniform(size=N) < 0.3).astype("boolean"),
    "strings": strings("a", "b", "c"),
    "string": strings("a", "b", "c").astype("string"),
    "objects": pd.Series(np.array(["a", 1, 2.5] * N, dtype=object)[:N]),
    "unordered": categories(ordered=False),
    "ordered": categories(ordered=True),
    "category of int64": pd.Series(RNG.poisson(2, N)).astype("category"),
    "category of times": times("1D", 5).astype("category"),
}
STEPS = {
    "int64": 1,
    "wide int64": 1,
    "int8": 1,
    "uint8": 1,
    "Int64": 1,
    "Int8": 1,
    "one decimal": 0.1,
    "four decimals": 1e-4,
}
TIME_STEPS = {"days": "1D", "seconds": "1s", "microseconds": "1us", "zoned": "1h"}

every_column = pytest.mark.parametrize("name", [*NUMERIC, *CATEGORICAL])
every_numeric_column = pytest.mark.parametrize("name", NUMERIC)
with_and_without_missing = pytest.mark.parametrize("missing", [False, True])


def column(name, missing=False):
    values = (NUMERIC | CATEGORICAL)[name]
    return values.mask(HIDDEN) if missing else values


def codec_of(values, kind=None):
    return FrameCodec(pd.DataFrame({"c": values}), {"c": kind} if kind else {})


def encode(codec, values):
    return codec.encode(pd.DataFrame({"c": values}))[:, 0]


def decode(codec, cell, position=0.5):
    cell = np.asarray(cell, dtype=float)[:, None]
    return codec.decode(cell, np.broadcast_to(np.reshape(position, (-1, 1)), cell.shape))["c"]


def cells_of(codec):
    return codec.codecs[0].bins


def ends(codec):
    """Return the left and right ends of a numeric column's cells, and what a unit counts as."""
    (column,) = codec.codecs
    return column._left, column._right, column._steps_per_unit


def probability(cells):
    """Return the probability of each cell, by the levels' counts alone."""
    level = np.array(cells.level)
    return np.exp(cells.log_marginal().numpy()[level] + np.array(cells.log_fraction))


# ---- There and back ------------------------------------------------------------------


@every_column
@with_and_without_missing
@pytest.mark.parametrize("position", [0.5, 0.01, 0.99])
def test_what_comes_back_has_the_columns_dtype_and_is_missing_where_it_was(name, missing, position):
    values = column(name, missing)
    codec = codec_of(values)
    back = decode(codec, encode(codec, values), position)
    assert back.dtype == values.dtype
    if isinstance(values.dtype, pd.CategoricalDtype):
        assert back.cat.categories.equals(values.cat.categories)
        assert back.cat.ordered == values.cat.ordered
    np.testing.assert_array_equal(back.isna(), values.isna())
    assert values.isna().any() == missing


@every_column
@with_and_without_missing
def test_what_comes_back_is_encoded_as_before(name, missing):
    values = column(name, missing)
    codec = codec_of(values)
    cell = encode(codec, values)
    positions = np.random.RandomState(1).uniform(0.01, 0.99, size=N)
    for position in (0.5, positions):
        np.testing.assert_array_equal(encode(codec, decode(codec, cell, position)), cell)


@every_numeric_column
@with_and_without_missing
def test_numbers_stay_within_the_range_of_training(name, missing):
    values = column(name, missing)
    codec = codec_of(values)
    observed = np.flatnonzero(cells_of(codec).observed)
    back = pd.concat([decode(codec, observed, position) for position in (0.0, 0.4, 0.999)])
    assert back.min() >= values.min()
    assert back.max() <= values.max()
    # Of the outermost cells, the ends.
    assert back.min() == values.min()
    assert back.isna().any() == missing


@pytest.mark.parametrize("name", CATEGORICAL)
@with_and_without_missing
def test_categories_come_back_as_they_were(name, missing):
    values = column(name, missing)
    codec = codec_of(values)
    back = decode(codec, encode(codec, values), 0.9)
    known = ~values.isna()
    assert back[known].tolist() == values[known].tolist()


@pytest.mark.parametrize("name", STEPS)
@with_and_without_missing
def test_numbers_come_back_with_no_more_decimals(name, missing):
    values = column(name, missing)
    codec = codec_of(values)
    positions = np.random.RandomState(1).uniform(size=N)
    back = decode(codec, encode(codec, values), positions).dropna().astype(float)
    # To the last bit, as `round` has them.
    decimals = round(-np.log10(STEPS[name]))
    np.testing.assert_array_equal(back, back.round(decimals))
    assert back.nunique() > 5


@pytest.mark.parametrize("name", TIME_STEPS)
def test_times_come_back_in_steps_of_what_all_are_multiples_of(name):
    codec = codec_of(column(name))
    positions = np.random.RandomState(1).uniform(0.01, 0.8, size=N)
    back = decode(codec, encode(codec, column(name)), positions)
    since = back - pd.Timestamp("2024-01-01", tz=back.dt.tz)
    assert (since % pd.Timedelta(TIME_STEPS[name]) == pd.Timedelta(0)).all()
    assert (back != column(name)).any()


def test_frames_keep_the_names_and_order_of_columns():
    frame = pd.DataFrame({"b": column("int64"), "a": column("strings"), "c": column("days")})
    codec = FrameCodec(frame, {})
    cells = codec.encode(frame)
    assert cells.dtype == np.float64
    back = codec.decode(cells)
    assert list(back.columns) == ["b", "a", "c"]
    assert back.dtypes.tolist() == frame.dtypes.tolist()
    assert back["a"].tolist() == frame["a"].tolist()
    middle = codec.decode(cells, np.full(cells.shape, 0.5))
    pd.testing.assert_frame_equal(back, middle)


def test_the_index_of_rows_does_not_matter():
    frame = pd.DataFrame({"a": column("float64", True), "b": column("strings", True)})
    moved = frame.set_axis(np.arange(N) % 7, axis=0)
    codec = FrameCodec(moved, {})
    np.testing.assert_array_equal(codec.encode(moved), FrameCodec(frame, {}).encode(frame))
    assert codec.decode(codec.encode(moved)).index.equals(frame.index)


@every_column
def test_a_value_missing_from_a_column_that_was_whole_in_training_is_not_observed(name):
    codec = codec_of(column(name))
    cell = encode(codec, column(name, True))
    np.testing.assert_array_equal(np.isnan(cell), HIDDEN)
    whole = encode(codec, column(name))
    np.testing.assert_array_equal(cell[~HIDDEN], whole[~HIDDEN])


@every_column
def test_missing_values_have_the_last_cell_and_a_level_by_themselves(name):
    codec = codec_of(column(name, True))
    cells = cells_of(codec)
    cell = encode(codec, column(name, True))
    assert (cell[HIDDEN] == len(cells.level) - 1).all()
    assert (cell[~HIDDEN] < len(cells.level) - 1).all()
    assert cells.level.count(cells.level[-1]) == 1
    assert cells.counts[-1] == HIDDEN.sum()
    assert cells.n_ordered < cells.n_levels


# ---- Levels and cells ----------------------------------------------------------------


@every_column
@with_and_without_missing
def test_shares_of_the_cells_of_a_level_sum_to_1(name, missing):
    cells = cells_of(codec_of(column(name, missing)))
    assert_allclose(np.bincount(cells.level, np.exp(cells.log_fraction)), 1, rtol=1e-12)
    assert_allclose(probability(cells).sum(), 1, rtol=1e-12)
    assert len(cells.log_width) == len(cells.observed) == len(cells.level)


@every_column
@with_and_without_missing
def test_cells_are_drawn_as_often_as_they_had_rows(name, missing):
    values = column(name, missing)
    codec = codec_of(values)
    cells = cells_of(codec)
    level, observed = np.array(cells.level), np.array(cells.observed)
    n_rows = np.bincount(encode(codec, values).astype(int), minlength=len(level))
    np.testing.assert_array_equal(n_rows > 0, observed)
    assert_allclose(np.bincount(level, n_rows), cells.counts)
    share = np.where(observed, np.exp(cells.log_fraction), 0)
    share /= np.bincount(level, share, minlength=cells.n_levels)[level].clip(1e-300)
    per_level = np.array(cells.counts)[level]
    assert_allclose(
        share[per_level > 0],
        (n_rows / per_level.clip(1))[per_level > 0],
        rtol=1e-12,
    )


@every_column
def test_the_middle_cell_of_a_level_holds_the_median_of_its_rows(name):
    values = column(name)
    codec = codec_of(values)
    cells = cells_of(codec)
    level = np.array(cells.level)
    cell = encode(codec, values).astype(int)
    for number, middle in enumerate(cells.representative_bin):
        assert level[middle] == number
        rows = np.sort(cell[level[cell] == number])
        if len(rows):
            assert rows[(len(rows) - 1) // 2] <= middle <= rows[len(rows) // 2]


@every_numeric_column
@with_and_without_missing
def test_cells_of_numbers_cover_the_line_without_gap_or_overlap(name, missing):
    codec = codec_of(column(name, missing))
    left, right, _ = ends(codec)
    is_value = left == right
    following = np.where(is_value, np.nextafter(right, np.inf), right)
    np.testing.assert_array_equal(following[:-1], left[1:])
    assert left[0] < -1e100
    assert right[-1] > 1e100
    level = np.array(cells_of(codec).level)[: len(left)]
    assert set(np.diff(level)) <= {0, 1}
    assert len(left) == len(cells_of(codec).level) - missing


@every_numeric_column
@with_and_without_missing
def test_the_density_of_numbers_integrates_to_1(name, missing):
    codec = codec_of(column(name, missing))
    cells = cells_of(codec)
    left, right, per_unit = ends(codec)
    width = np.append((right - left) / (per_unit or 1), np.zeros(int(missing)))
    width[width == 0] = 1  # of a single value, the density is a mass
    density = probability(cells) / np.exp(cells.log_width)
    assert_allclose((density * width).sum(), 1, rtol=1e-9)


@pytest.mark.parametrize("name", ["int64", "int8", "uint8", "Int64", "Int8", "one decimal"])
def test_the_density_of_rounded_numbers_is_their_probability_over_the_step(name):
    step = STEPS[name]
    numbers = column(name).astype(float)
    codec = codec_of(column(name))
    cells = cells_of(codec)
    points = np.arange(round(numbers.min() / step), round(numbers.max() / step) + 1)
    n_points = np.bincount(encode(codec, points / round(1 / step)).astype(int))
    inside = n_points > 0
    density = probability(cells) / np.exp(cells.log_width)
    mass = n_points * step * density[: len(n_points)]
    assert_allclose(mass[inside], probability(cells)[: len(n_points)][inside], rtol=1e-9)


@every_numeric_column
def test_larger_numbers_have_later_cells_and_levels(name):
    values = column(name).sort_values()
    codec = codec_of(values)
    cell = encode(codec, values)
    assert (np.diff(cell) >= 0).all()
    level = np.array(cells_of(codec).level)
    assert (np.diff(level) >= 0).all()
    assert cells_of(codec).n_ordered == cells_of(codec).n_levels


def test_levels_of_a_continuous_column_hold_about_a_fiftieth_of_the_rows():
    for n, n_levels in ((400, 20), (5000, 50)):
        cells = cells_of(codec_of(np.random.RandomState(0).normal(size=n)))
        assert cells.counts == (n / n_levels,) * n_levels


def test_a_number_that_occurs_often_has_a_level_of_its_own():
    values = column("inflated")
    codec = codec_of(values)
    cells = cells_of(codec)
    cell = int(encode(codec, [0.0])[0])
    same = [k for k, level in enumerate(cells.level) if level == cells.level[cell]]
    assert [k for k in same if cells.observed[k]] == [cell]
    assert cells.counts[cells.level[cell]] == (values == 0).sum()
    assert cells.log_width[cell] == 0  # a mass
    assert (decode(codec, [cell] * 3, [0.0, 0.5, 0.99]) == 0).all()
    # And no other is drawn there.
    others = np.flatnonzero(cells.observed)
    assert (decode(codec, others[others != cell], 0.0) > 0).all()


@pytest.mark.parametrize(("n_rows", "n_often"), [(600, 20), (40_000, 42)])
def test_a_number_is_often_if_twenty_rows_and_one_in_a_thousand_have_it(n_rows, n_often):
    numbers = np.random.RandomState(0).normal(size=n_rows)
    for n, is_alone in ((n_often, True), (n_often - 5, False)):
        codec = codec_of(np.concatenate([numbers, np.repeat([0.5, -1.0], n)]))
        cells = cells_of(codec)
        level = np.array(cells.level)
        for cell in encode(codec, [0.5, -1.0]).astype(int):
            observed = np.array(cells.observed)[level == level[cell]]
            assert (cells.counts[level[cell]] == n) == is_alone
            assert observed.sum() == 1 or not is_alone
            assert cells.log_width[cell] == 0 or not is_alone


# ---- What training did not see -------------------------------------------------------


CLUSTERS = pd.Series([1] * 30 + [5] * 30 + [6] * 30)
UNSEEN = {
    "between integers": (CLUSTERS, 3),
    "below integers": (CLUSTERS, 0),
    "above integers": (CLUSTERS, 7),
    "far above integers": (CLUSTERS, 10**18),
    "between zero and the rest": (column("inflated"), 0.05),
    "below zero": (column("inflated"), -1e-9),
    "below numbers": (column("float64"), -10.0),
    "far below numbers": (column("float64"), -1e308),
    "far above numbers": (column("float64"), 1e308),
    "before days": (column("days"), pd.Timestamp("2023-12-31")),
    "after days": (column("days"), pd.Timestamp("2200-01-01")),
    "another string": (column("strings"), "d"),
    "another nullable string": (column("string"), "d"),
    "another object": (column("objects"), 3),
    "a declared category": (column("unordered"), "none"),
    "a declared category in order": (column("ordered"), "none"),
    "another truth value": (pd.Series([True] * 30), False),
}


@pytest.mark.parametrize(("values", "value"), UNSEEN.values(), ids=UNSEEN)
def test_values_never_seen_have_cells_of_little_probability_that_are_not_drawn(values, value):
    codec = codec_of(values)
    cells = cells_of(codec)
    (cell,) = encode(codec, pd.Series([value])).astype(int)
    assert not cells.observed[cell]
    assert 0 < probability(cells)[cell] < 1.01 / len(values) + 1e-12


def test_numbers_beyond_those_seen_share_the_probability_of_about_one_row():
    cells = cells_of(codec_of(column("float64")))
    not_drawn = ~np.array(cells.observed)
    assert 0.5 / N < probability(cells)[not_drawn].sum() < 1.5 / N


def test_density_falls_with_the_distance_from_what_was_seen():
    codec = codec_of(column("float64"))
    cells = cells_of(codec)
    far = encode(codec, -(10.0 ** np.arange(1, 130, 4))).astype(int)
    log_density = np.log(probability(cells)[far]) - np.array(cells.log_width)[far]
    steps = np.diff(log_density[np.diff(far, prepend=-1) != 0])
    assert len(steps) >= 5
    assert (steps < 0).all()


def test_rare_categories_share_a_level_and_keep_their_frequencies():
    counts = {"c": 10, "f": 1, "a": 100, "e": 3, "b": 60, "d": 9}
    values = pd.Series([name for name, n in counts.items() for _ in range(n)])
    codec = codec_of(values)
    cells = cells_of(codec)
    assert cells.counts == (100, 60, 10, 13)
    level = np.array(cells.level)[encode(codec, list("abcdef")).astype(int)]
    assert level.tolist() == [0, 1, 2, 3, 3, 3]
    rare = np.exp(cells.log_fraction)[encode(codec, list("def")).astype(int)]
    assert_allclose(rare, np.array([9, 3, 1]) / 14)  # one row is for what was not seen


def test_the_least_frequent_of_very_many_categories_share_a_level():
    values = pd.Series([f"{k}" for k in range(220) for _ in range(10 + (k < 200))])
    cells = cells_of(codec_of(values))
    assert cells.counts == (11,) * 200 + (200,)


def test_ordered_categories_have_a_level_each_in_their_order():
    codec = codec_of(column("ordered"))
    cells = cells_of(codec)
    counts = column("ordered").value_counts().reindex(["z", "x", "none", "y"])
    assert cells.counts == tuple(counts)
    assert cells.n_ordered == cells.n_levels == 4
    assert cells_of(codec_of(column("unordered"))).n_ordered == 0


# ---- Columns with little in them -----------------------------------------------------

CONSTANTS = {
    "int64": 7,
    "negative": -(10**6),
    "zero": 0.0,
    "float64": 0.1,
    "many digits": np.pi,
    "huge": 1e150,
    "tiny": 1e-300,
    "time": pd.Timestamp("2024-05-06 07:08:09"),
    "time with a zone": pd.Timestamp("2024-05-06 07:08:09", tz="Europe/Berlin"),
    "duration": pd.Timedelta("90min"),
    "string": "a",
    "bool": True,
}


@pytest.mark.parametrize("value", CONSTANTS.values(), ids=CONSTANTS)
@pytest.mark.parametrize("n", [1, 2, 25])
@with_and_without_missing
def test_a_constant_comes_back_alone(value, n, missing):
    values = pd.Series([value] * n + [None] * missing)
    codec = codec_of(values)
    cell = encode(codec, values)
    for position in (0.0, 0.5, 0.9):
        back = decode(codec, cell, position)
        assert back.dtype == values.dtype
        assert (back[:n] == value).all()
        assert back[n:].isna().all()
    assert np.isfinite(cells_of(codec).log_width).all()
    assert np.sum(cells_of(codec).observed) == 1 + missing


@pytest.mark.parametrize(
    "dtype", ["float64", "Int64", "datetime64[ns]", "datetime64[ns, UTC]", "timedelta64[ns]"]
)
def test_a_column_without_any_number_comes_back_empty(dtype):
    values = pd.Series([None] * 5, dtype=dtype)
    codec = codec_of(values)
    back = decode(codec, encode(codec, values))
    assert back.dtype == dtype
    assert back.isna().all()
    # A number is not observed there, but no error.
    assert cells_of(codec).counts == (5,)


def test_categories_that_are_all_missing_come_back_empty():
    values = pd.Series(pd.Categorical([None] * 5, categories=["a", "b"]))
    codec = codec_of(values)
    back = decode(codec, encode(codec, values))
    assert back.dtype == values.dtype
    assert back.isna().all()
    assert cells_of(codec).observed == (False, False, False, True)


@pytest.mark.parametrize("scale", [1e150, 1e-150, 1e-300])
def test_numbers_of_any_size_come_back(scale):
    values = pd.Series(scale * np.random.RandomState(0).normal(size=N))
    codec = codec_of(values)
    cells = cells_of(codec)
    assert np.isfinite(cells.log_width).all()
    cell = encode(codec, values)
    back = decode(codec, cell)
    np.testing.assert_array_equal(encode(codec, back), cell)
    assert_allclose(back, values, atol=scale)
    assert np.corrcoef(back / scale, values / scale)[0, 1] > 0.99
    for value in (0.0, 1e300, -1e300, 5e-324):
        assert not np.isnan(encode(codec, [value])[0])


def test_numbers_far_from_zero_and_close_together_come_back():
    values = pd.Series(1e9 + np.random.RandomState(0).uniform(size=N))
    codec = codec_of(values)
    back = decode(codec, encode(codec, values))
    assert back.between(values.min(), values.max()).all()
    assert (back - values).abs().max() < 0.1


# ---- Values that can't be used -------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [[1.0, np.inf], [-np.inf, 1.0], [[1], [2]], [{}, "a"]],
    ids=["infinity", "minus infinity", "lists", "dicts"],
)
def test_an_error_in_training_names_the_column(bad):
    frame = pd.DataFrame({"good": [1, 2], "worse": pd.Series(bad)})
    with pytest.raises((TypeError, ValueError), match="'worse'"):
        FrameCodec(frame, {})


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("int64", "word"),
        ("int64", np.inf),
        ("float64", "word"),
        ("Float64", -np.inf),
        ("float64", [1]),
        ("float64", pd.Timestamp("2024-01-01")),
        ("days", "word"),
        ("days", [1]),
        ("durations", "word"),
        ("durations", pd.Timestamp("2024-01-01")),
        ("unordered", [1]),
    ],
)
def test_an_error_in_what_is_encoded_names_the_column(name, bad):
    codec = codec_of(column(name))
    with pytest.raises((TypeError, ValueError), match="Column 'c' of X"):
        encode(codec, pd.Series([bad], dtype=object))


# ---- What kind of column it is -------------------------------------------------------


def test_integers_may_be_categories():
    values = pd.Series(np.random.RandomState(0).choice([3, 5, 9], N))
    codec = codec_of(values, "categorical")
    assert cells_of(codec).n_ordered == 0
    cell = encode(codec, [3, 5, 9, 4])
    assert len(set(cell)) == 4
    assert not cells_of(codec).observed[int(cell[3])]
    assert decode(codec, encode(codec, values)).equals(values)


@pytest.mark.parametrize("name", ["int64", "strings", "days", "bool", "unordered"])
def test_any_column_may_be_ordinal(name):
    values = column(name)
    codec = codec_of(values, "ordinal")
    cells = cells_of(codec)
    assert cells.n_ordered == cells.n_levels > 1
    in_order = sorted(set(values)) if name != "unordered" else ["z", "x", "y"]
    assert (np.diff(encode(codec, in_order)) > 0).all()
    back = decode(codec, encode(codec, values))
    assert back.dtype == values.dtype
    assert back.tolist() == values.tolist()


def test_categories_of_numbers_may_be_numeric():
    values = pd.Series(np.random.RandomState(0).poisson(3, N)).astype("category")
    codec = codec_of(values, "numeric")
    expected = cells_of(codec_of(values.astype(int)))
    assert cells_of(codec) == expected
    assert decode(codec, encode(codec, values)).dtype == values.dtype


def test_ordered_categories_may_lose_their_order():
    assert cells_of(codec_of(column("ordered"), "categorical")).n_ordered == 0


@pytest.mark.parametrize("name", ["strings", "ordered"])
def test_words_can_not_be_numeric(name):
    with pytest.raises((TypeError, ValueError), match="Column 'c' of X"):
        codec_of(column(name), "numeric")


def test_a_kind_for_a_column_that_is_not_there_is_an_error():
    with pytest.raises(ValueError, match=r"\['d'\], which X does not have"):
        FrameCodec(pd.DataFrame({"c": [1, 2]}), {"c": "numeric", "d": "ordinal"})


def test_objects_are_what_they_hold():
    numbers = pd.Series([1, 2.5, None] * 20, dtype=object)
    assert cells_of(codec_of(numbers)) == cells_of(codec_of(numbers.astype(float)))


# ---- Conditions ----------------------------------------------------------------------


def interval(low, high, closed="right"):
    return pd.Interval(low, high, closed)


JUNE = pd.Timestamp("2024-06-01")
AUGUST = pd.Timestamp("2024-08-01")
BERLIN = pd.Timestamp("2024-01-10", tz="Europe/Berlin")
HOURS = pd.Timedelta("1h"), pd.Timedelta("1000h")
# What of each column is asked for, and the same in terms of pandas.
CONDITIONS = {
    "an integer": ("Int64", 3, lambda x: x == 3),
    "a list of integers": ("Int64", [1, 4, 99], lambda x: x.isin([1, 4])),
    "an array of integers": ("Int64", np.array([1, 4]), lambda x: x.isin([1, 4])),
    "an integer or nothing": ("Int64", [1, None], lambda x: (x == 1) | x.isna()),
    "no integer": ("Int64", None, lambda x: x.isna()),
    "a decimal": ("one decimal", 0.3, lambda x: x == 0.3),
    "one of wide integers": ("wide int64", 12345, lambda x: x == 12345),
    "zero": ("inflated", 0, lambda x: x == 0),
    "zero or no number": ("inflated", [0, np.nan], lambda x: (x == 0) | x.isna()),
    "no number": ("float64", np.nan, lambda x: x.isna()),
    "no nullable number": ("Float64", pd.NA, lambda x: x.isna()),
    "a day": ("days", JUNE, lambda x: x == JUNE),
    "a day in words": ("days", "2024-06-01", lambda x: x == JUNE),
    "days": ("days", [JUNE, AUGUST], lambda x: x.isin([JUNE, AUGUST])),
    "no day": ("days", pd.NaT, lambda x: x.isna()),
    "a time with a zone": ("zoned", BERLIN, lambda x: x == BERLIN),
    "a duration": ("durations", HOURS[1], lambda x: x == HOURS[1]),
    "a truth": ("bool", True, lambda x: x.isin([True])),
    "a nullable truth": ("boolean", False, lambda x: x.isin([False])),
    "neither": ("boolean", None, lambda x: x.isna()),
    "a string": ("strings", "b", lambda x: x == "b"),
    "strings": ("strings", ("a", "c", "z"), lambda x: x.isin(["a", "c"])),
    "a set of strings": ("string", {"a", "c"}, lambda x: x.isin(["a", "c"])),
    "a string or nothing": ("string", ["a", None], lambda x: (x == "a") | x.isna()),
    "a category": ("unordered", "x", lambda x: x == "x"),
    "categories in order": ("ordered", ["z", np.nan], lambda x: (x == "z") | x.isna()),
    "no category": ("ordered", None, lambda x: x.isna()),
    "an integer category": ("category of int64", [1, 2], lambda x: x.isin([1, 2])),
}
INTERVALS = {
    "integers": ("Int64", 2, 5),
    "wide integers": ("wide int64", 0, 10**8),
    "decimals": ("one decimal", -0.4, 0.7),
    "numbers": ("float64", -0.4, 0.7),
    "single numbers": ("float32", -0.4, 0.7),
    "from zero": ("inflated", 0, 0.9),
    "between spikes": ("spiked", -0.9, 0.45),
    "from a spike": ("spiked", -1.0, 0.45),
    "up to a spike": ("spiked", -0.9, 0.5),
    "days": ("days", JUNE, AUGUST),
    "microseconds": ("microseconds", pd.Timestamp("2024-01-03"), pd.Timestamp("2024-01-04")),
    "zoned": ("zoned", BERLIN, BERLIN + pd.Timedelta("9D")),
    "durations": ("durations", *HOURS),
}


def check_condition(values, condition, expected, least_kept):
    """Check a condition against the rows that satisfy it, and against draws from its parts."""
    frame = pd.DataFrame({"c": values})
    codec = codec_of(values)
    satisfied = codec.satisfies(frame, {"c": condition})
    assert satisfied.dtype == bool
    np.testing.assert_array_equal(satisfied, expected)
    (number, part), *others = codec.allowed_ranges({"c": condition}).items()
    assert number == 0
    assert not others
    assert ((part >= 0) & (part <= 1)).all()
    allowed = part[:, 1] > part[:, 0]
    observed = np.array(cells_of(codec).observed)
    assert not (allowed & ~observed).any()
    # All rows that satisfy it are possible, and most of what is possible satisfies it.
    assert allowed[encode(codec, values)[satisfied].astype(int)].all()
    drawn = np.repeat(np.flatnonzero(allowed), 100).astype(float)[:, None]
    positions = codec.sample_positions(drawn, {0: part}, np.random.RandomState(0))
    kept = codec.satisfies(codec.decode(drawn, positions), {"c": condition}).mean()
    assert kept >= least_kept
    return drawn[:, 0], decode(codec, drawn[:, 0], positions[:, 0])


@pytest.mark.parametrize(("name", "condition", "select"), CONDITIONS.values(), ids=CONDITIONS)
def test_a_value_or_a_list_of_values_is_drawn_exactly(name, condition, select):
    values = column(name, True)
    expected = select(values).fillna(False).astype(bool)
    check_condition(values, condition, expected, least_kept=1.0)


@pytest.mark.parametrize(("name", "low", "high"), INTERVALS.values(), ids=INTERVALS)
@pytest.mark.parametrize("closed", ["left", "right", "both", "neither"])
@with_and_without_missing
def test_an_interval_is_drawn_but_for_its_ends(name, low, high, closed, missing):
    values = column(name, missing)
    from_low = values >= low if closed in ("left", "both") else values > low
    to_high = values <= high if closed in ("right", "both") else values < high
    expected = (from_low & to_high).fillna(False).astype(bool)
    assert 0 < expected.sum() < N
    condition = interval(low, high, closed)
    # Each end may be one of few values in a cell.
    check_condition(values, condition, expected, least_kept=1.0 if closed == "both" else 0.4)


def test_draws_reach_all_of_an_interval_and_nothing_else():
    values = column("float64")
    _, drawn = check_condition(values, interval(-0.41, 0.71), values.between(-0.41, 0.71), 1.0)
    assert -0.41 < drawn.min() < -0.40
    assert 0.70 < drawn.max() < 0.71


def test_each_of_several_values_in_one_cell_is_drawn():
    values = column("days")
    codec = codec_of(values)
    cells = encode(codec, values)
    days = values[cells == cells[0]].drop_duplicates()
    first, last = days.min(), days.max()
    assert first < last
    _, drawn = check_condition(values, [first, last], values.isin([first, last]), 0.05)
    assert {first, last} <= set(drawn)


def test_columns_without_a_condition_are_drawn_from_all_of_a_cell():
    frame = pd.DataFrame({"a": column("float64"), "b": column("float32")})
    codec = FrameCodec(frame, {})
    cells = np.zeros((2000, 2))
    cells[:] = codec.encode(frame)[0]
    parts = {1: np.tile([0.2, 0.4], (len(codec.codecs[1].bins.level), 1))}
    positions = codec.sample_positions(cells, parts, np.random.RandomState(0))
    assert positions[:, 0].min() < 0.01
    assert positions[:, 0].max() > 0.99
    assert 0.2 <= positions[:, 1].min() < 0.21
    assert 0.39 < positions[:, 1].max() <= 0.4


def test_all_conditions_have_to_be_satisfied():
    frame = pd.DataFrame({"a": column("Int64"), "b": column("strings")})
    codec = FrameCodec(frame, {})
    both = codec.satisfies(frame, {"a": interval(1, 3), "b": "a"})
    expected = frame["a"].between(2, 3) & (frame["b"] == "a")
    np.testing.assert_array_equal(both, expected)
    assert codec.satisfies(frame, {}).all()


@pytest.mark.parametrize(
    ("name", "condition"),
    [
        ("int64", 10**6),
        ("int64", []),
        ("int64", None),
        ("int64", [None, np.nan]),
        ("int64", interval(10**6, 10**7)),
        ("float64", 0.123),
        ("float64", interval(50, 60)),
        ("days", "1999-12-31"),
        ("days", pd.NaT),
        ("strings", "z"),
        ("strings", None),
        ("strings", []),
        ("unordered", "none"),
        ("unordered", "z and more"),
        ("bool", None),
    ],
)
def test_a_condition_that_no_value_satisfies_is_an_error(name, condition):
    with pytest.raises(ValueError, match="No value that column 'c' had in training satisfies"):
        codec_of(column(name)).allowed_ranges({"c": condition})


@pytest.mark.parametrize("method", ["allowed_ranges", "satisfies"])
def test_a_condition_on_a_column_that_is_not_there_is_an_error(method):
    frame = pd.DataFrame({"c": column("int64")})
    arguments = ({"d": 1},) if method == "allowed_ranges" else (frame, {"d": 1})
    with pytest.raises(ValueError, match=r"There is no column 'd': X has \['c'\]"):
        getattr(codec_of(frame["c"]), method)(*arguments)


@pytest.mark.parametrize(
    ("name", "condition"), [("int64", "word"), ("days", "word"), ("strings", [["a"]])]
)
def test_a_condition_that_is_no_value_of_the_column_names_it(name, condition):
    with pytest.raises((TypeError, ValueError), match="'c'"):
        codec_of(column(name)).allowed_ranges({"c": condition})


# ---- Frames --------------------------------------------------------------------------


def test_a_frame_stays_what_it_is():
    frame = pd.DataFrame({"a": [1, 2]})
    assert as_frame(frame, None) is frame


def test_arrays_become_frames_with_numbers_of_columns_as_names():
    frame = as_frame(np.array([[1.5, np.nan], [2, 3]]), None)
    assert list(frame.columns) == [0, 1]
    assert frame.isna().to_numpy().tolist() == [[False, True], [False, False]]


@pytest.mark.parametrize("shape", [(0, 2), (2, 0), (0, 0)])
def test_frames_without_rows_or_columns_are_errors(shape):
    with pytest.raises(ValueError, match="at least one row and one column"):
        as_frame(pd.DataFrame(np.zeros(shape)), None)


def test_frames_with_a_name_twice_are_errors():
    with pytest.raises(ValueError, match=r"Names of columns must differ; got \['a', 'a'\]"):
        as_frame(pd.DataFrame(np.zeros((2, 2)), columns=["a", "a"]), None)
