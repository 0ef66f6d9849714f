"""What tables of mixed columns go through, and what comes back."""

import copy
import pickle
import sys

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from helpers import unchanged_random_states
from skvae import TabularVAE
from skvae.estimators import _tabular

FAST = {"latent_dim": 3, "hidden_layer_sizes": (16,), "max_iter": 3, "random_state": 0}
N = 300
RATES = {"p": 0.7, "q": 0.1, "r": 0.4}
CENTRES = {"p": 3, "q": 6, "r": 12}
OF_A = {"p": "x", "q": "y", "r": "x"}


def make_mixed(n=N):
    """Return a frame with columns of all types, some of them with missing values."""
    rng = np.random.RandomState(0)
    start = pd.Timestamp("2024-01-01")
    words = rng.choice(["apple", "pear", "fig"], n, p=[0.6, 0.3, 0.1])
    grades = pd.Categorical(rng.choice(list("low"), n), categories=list("wolt"), ordered=True)
    frame = pd.DataFrame(
        {
            "count": rng.poisson(4, n),
            "small": rng.randint(-128, 128, n).astype(np.int8),
            "wide": rng.lognormal(3, 1, n),
            "single": rng.normal(size=n).astype(np.float32),
            "price": rng.lognormal(2, 1, n).round(2),
            "inflated": np.where(rng.uniform(size=n) < 0.4, 0.0, rng.lognormal(size=n)),
            "truth": rng.uniform(size=n) < 0.3,
            "word": words,
            "fruit": pd.Categorical(words, categories=["fig", "pear", "none", "apple"]),
            "grade": grades,
            "day": start + pd.to_timedelta(rng.randint(0, 300, n), unit="D"),
            "hour": (start + pd.to_timedelta(rng.randint(0, 300, n), unit="h")).tz_localize("UTC"),
            "lapse": pd.to_timedelta(rng.randint(0, 3000, n), unit="min"),
        }
    )
    for number, (name, dtype) in enumerate(
        {
            "count": "Int64",
            "wide": "float64",
            "single": "Float64",
            "truth": "boolean",
            "word": "string",
            "grade": grades.dtype,
            "day": frame["day"].dtype,
            "lapse": frame["lapse"].dtype,
        }.items()
    ):
        hidden = np.random.RandomState(number).uniform(size=n) < 0.3
        frame[f"some {name}"] = frame[name].astype(dtype).mask(hidden)
    return frame


@pytest.fixture(scope="module")
def mixed():
    return make_mixed()


@pytest.fixture(scope="module")
def vae(mixed):
    return TabularVAE(**FAST).fit(mixed)


def make_dependent(n=2000):
    """Return columns of which `b` follows from `a`, and `c` is a mixture for each `a`."""
    rng = np.random.RandomState(0)
    a = pd.Series(rng.choice(list("pqr"), n, p=[0.5, 0.3, 0.2]))
    is_zero = rng.uniform(size=n) < a.map(RATES)
    sign = np.where((a == "r") & (rng.uniform(size=n) < 0.5), -1, 1)
    c = np.where(is_zero, 0.0, sign * rng.normal(a.map(CENTRES), 0.5))
    return pd.DataFrame({"a": a, "b": a.map(OF_A), "c": c})


@pytest.fixture(scope="module")
def dependent():
    return make_dependent()


@pytest.fixture(scope="module")
def learned(dependent):
    params = {**FAST, "latent_dim": 4, "hidden_layer_sizes": (32,), "max_iter": 15}
    return TabularVAE(**params).fit(dependent)


def check_like(table, X):
    """Check that a table could be X: by columns, dtypes, categories, ranges, missing values."""
    assert isinstance(table, pd.DataFrame)
    assert table.columns.equals(X.columns)
    for name in X:
        values, seen = table[name], X[name]
        assert values.dtype == seen.dtype
        if isinstance(seen.dtype, pd.CategoricalDtype):
            assert values.cat.categories.equals(seen.cat.categories)
        if not seen.isna().any():
            assert not values.isna().any()
        is_number = pd.api.types.is_numeric_dtype(seen.dtype) or seen.dtype.kind in "mM"
        if is_number and not pd.api.types.is_bool_dtype(seen.dtype):
            assert values.dropna().between(seen.min(), seen.max()).all()
        else:
            assert values.dropna().isin(seen.unique()).all()
    if "price" in table:
        assert (table["price"].round(2) == table["price"]).all()
    if "day" in table:
        assert (table["day"] == table["day"].dt.normalize()).all()


def equal_frames(one, other):
    try:
        pd.testing.assert_frame_equal(one, other)
    except AssertionError:
        return False
    return True


# ---- Frames in, frames out -----------------------------------------------------------


def test_codes_are_a_row_of_finite_numbers_each(vae, mixed):
    Z = vae.transform(mixed)
    assert Z.shape == (N, 3)
    assert Z.dtype == np.float64
    assert np.isfinite(Z).all()
    mean, std = vae.encode(mixed)
    assert np.array_equal(mean, Z)
    assert (std > 0).all()


@pytest.mark.parametrize("params", [{}, {"autoregressive": False}, {"prior_std": 3.0}])
def test_what_comes_back_is_like_what_went_in(mixed, params):
    vae = TabularVAE(**FAST, **params).fit(mixed)
    for table in (vae.inverse_transform(vae.transform(mixed)), vae.sample(N, random_state=0)):
        check_like(table, mixed)
        assert table.index.equals(pd.RangeIndex(N))
    check_like(vae.reconstruct(mixed), mixed)


def test_synthetic_rows_are_missing_where_training_rows_were(vae, mixed):
    table = vae.sample(1000, random_state=0)
    assert_allclose(table.isna().mean(), mixed.isna().mean(), atol=0.1)


def test_synthetic_columns_are_distributed_as_in_training(vae, mixed):
    table = vae.sample(1000, random_state=0)
    for name in ("wide", "price", "inflated", "small"):
        assert stats.ks_2samp(table[name], mixed[name]).statistic < 0.12
    for name in ("word", "fruit", "grade", "truth", "some truth"):
        shares = [frame[name].value_counts(normalize=True).sort_index() for frame in (table, mixed)]
        assert_allclose(shares[0].astype(float), shares[1].astype(float), atol=0.1)


def test_numbers_that_are_drawn_need_not_be_among_those_of_training(vae, mixed):
    table = vae.sample(N, random_state=0)
    assert table["wide"].isin(mixed["wide"]).mean() < 0.01
    assert table["wide"].nunique() == N
    assert 0.2 < table["inflated"].eq(0).mean() < 0.6


def test_reconstructed_rows_keep_the_index(vae, mixed):
    rows = mixed.iloc[5:15].set_axis([f"row {k}" for k in range(10)])
    table = vae.reconstruct(rows)
    assert table.index.equals(rows.index)
    expected = vae.inverse_transform(vae.transform(rows))
    pd.testing.assert_frame_equal(table, expected.set_axis(rows.index))


def test_a_frame_with_any_index_is_read_by_position(mixed):
    moved = mixed.set_axis(np.arange(N) % 7)
    vae = TabularVAE(**FAST)
    assert np.array_equal(vae.fit_transform(moved), clone(vae).fit_transform(mixed))


def test_training_makes_reconstructions_better_than_the_most_frequent_value(learned, dependent):
    table = learned.reconstruct(dependent)
    assert (table["a"] == dependent["a"]).mean() > 0.8
    assert (table["b"] == dependent["b"]).mean() > 0.9
    error = (table["c"] - dependent["c"]).abs().mean()
    assert error < 0.75 * (dependent["c"] - dependent["c"].median()).abs().mean()


def test_attributes_tell_of_the_frame(vae, mixed):
    assert vae.n_features_in_ == mixed.shape[1]
    assert vae.feature_names_in_.tolist() == list(mixed.columns)
    assert vae.get_feature_names_out().tolist() == [f"tabularvae{k}" for k in range(3)]
    assert vae.n_iter_ == 3
    assert len(vae.loss_curve_) == 3


ARRAYS = {
    "float64": np.random.RandomState(0).normal(size=(60, 3)),
    "float32": np.random.RandomState(0).normal(size=(60, 3)).astype(np.float32),
    "int64": np.random.RandomState(0).poisson(3, (60, 3)),
    "int8": np.random.RandomState(0).randint(-128, 128, (60, 3)).astype(np.int8),
    "bool": np.random.RandomState(0).uniform(size=(60, 3)) < 0.3,
    "objects": np.array([[1, "a", 2.5], [2, "b", None], [3, None, 0.5]] * 20, dtype=object),
    "with missing": np.where(
        np.random.RandomState(1).uniform(size=(60, 3)) < 0.3,
        np.nan,
        np.random.RandomState(0).normal(size=(60, 3)),
    ),
}


@pytest.mark.parametrize("X", ARRAYS.values(), ids=ARRAYS)
def test_arrays_in_give_arrays_out(X):
    vae = TabularVAE(**FAST).fit(X)
    Z = vae.transform(X)
    for table in (vae.reconstruct(X), vae.inverse_transform(Z), vae.sample(60, random_state=0)):
        assert type(table) is np.ndarray
        assert table.dtype == X.dtype
        assert table.shape == (60, 3)
        assert pd.isna(X).any() or not pd.isna(table).any()


def test_lists_are_arrays():
    table = TabularVAE(**FAST).fit([[1, 2], [3, 4]] * 20).sample(50, random_state=0)
    assert set(np.unique(table)) == {1, 2, 3, 4}


def test_an_array_is_the_frame_of_its_columns():
    X = ARRAYS["with missing"]
    vae, of_frame = (TabularVAE(**FAST).fit(table) for table in (X, pd.DataFrame(X)))
    assert np.array_equal(vae.transform(X), of_frame.transform(pd.DataFrame(X)))
    sampled = of_frame.sample(20, random_state=0).to_numpy()
    assert np.array_equal(vae.sample(20, random_state=0), sampled, equal_nan=True)


@pytest.mark.parametrize("autoregressive", [False, True])
def test_one_row_and_one_column_are_enough(autoregressive, mixed):
    vae = TabularVAE(**FAST, autoregressive=autoregressive)
    row = mixed[mixed.notna().all(axis=1)].iloc[:1]
    table = clone(vae).fit(row).sample(20, random_state=0)
    assert (table == row.loc[table.index * 0 + row.index[0]].set_axis(table.index)).all(axis=None)
    check_like(clone(vae).fit(mixed[["grade"]]).sample(20, random_state=0), mixed[["grade"]])


def test_columns_without_any_number_stay_so(mixed):
    X = mixed[["word", "wide"]].assign(nothing=np.nan)
    vae = TabularVAE(**FAST).fit(X)
    assert vae.sample(20, random_state=0)["nothing"].isna().all()
    assert np.isfinite(vae.score(X))


def test_kinds_of_columns_may_be_told(mixed):
    X = mixed[["count", "word"]]
    kinds = {"count": "categorical", "word": "ordinal"}
    vae = TabularVAE(**FAST, column_types=kinds).fit(X)
    check_like(vae.sample(100, random_state=0), X)
    number, word = vae.module_.likelihood.columns
    assert number.n_ordered == 0
    assert number.n_levels <= X["count"].nunique()
    assert word.n_ordered == 3
    by_number = TabularVAE(**FAST, column_types={0: "categorical", 1: "ordinal"})
    assert by_number.fit(X.to_numpy()).module_.likelihood == vae.module_.likelihood


# ---- Chance --------------------------------------------------------------------------


def test_the_same_random_state_gives_the_same_bits(vae, mixed):
    again = TabularVAE(**FAST).fit(mixed)
    assert np.array_equal(again.transform(mixed), vae.transform(mixed))
    assert np.array_equal(again.score_samples(mixed), vae.score_samples(mixed))
    assert not np.array_equal(
        TabularVAE(**{**FAST, "random_state": 1}).fit(mixed).transform(mixed),
        vae.transform(mixed),
    )


@pytest.mark.parametrize("conditions", [None, {"word": "pear", "some day": None}])
def test_synthetic_rows_follow_from_the_random_state(vae, conditions):
    one, same, other, fresh, fresher = (
        vae.sample(40, conditions=conditions, random_state=state) for state in (0, 0, 1, None, None)
    )
    assert equal_frames(one, same)
    assert not equal_frames(one, other)
    assert not equal_frames(fresh, fresher)
    rng = np.random.RandomState(0)
    first, second = (vae.sample(40, conditions=conditions, random_state=rng) for _ in range(2))
    assert equal_frames(first, one)
    assert not equal_frames(second, one)


def test_global_random_states_are_neither_used_nor_changed(mixed):
    with unchanged_random_states():
        vae = TabularVAE(**{**FAST, "random_state": None}).fit(mixed)
        vae.sample(5)
        vae.sample(5, conditions={"count": pd.Interval(2, 4)})
        vae.score(vae.reconstruct(mixed))


# ---- Conditions ----------------------------------------------------------------------

CONDITIONS = {
    "a category": {"fruit": "pear"},
    "a rare one": {"word": "fig"},
    "several": {"word": ["fig", "pear"]},
    "an integer": {"count": 3},
    "integers": {"count": [1, 3]},
    "truth": {"truth": True},
    "zero": {"inflated": 0},
    "an interval": {"wide": pd.Interval(10, 20)},
    "a narrow one": {"wide": pd.Interval(20, 20.5)},
    "of integers": {"small": pd.Interval(-100, -90, "neither")},
    "of decimals": {"price": pd.Interval(3, 4, "left")},
    "from zero": {"inflated": pd.Interval(0, 1, "left")},
    "days": {"day": pd.Interval(pd.Timestamp("2024-02-01"), pd.Timestamp("2024-03-01"))},
    "a day": {"some day": [*pd.date_range("2024-02-01", periods=30)]},
    "durations": {"lapse": pd.Interval(pd.Timedelta("1h"), pd.Timedelta("5h"), "both")},
    "nothing": {"some count": None},
    "no word": {"some word": pd.NA},
    "no number": {"some wide": np.nan},
    "a grade or nothing": {"some grade": ["w", None]},
    "all at once": {
        "word": ["apple", "pear"],
        "grade": "o",
        "inflated": 0,
        "wide": pd.Interval(5, 100),
        "some single": None,
    },
}


def satisfied(values, condition):
    if isinstance(condition, pd.Interval):
        return values.map(lambda value: value in condition, na_action="ignore").eq(True)
    choices = condition if isinstance(condition, list) else [condition]
    return values.isin([c for c in choices if not pd.isna(c)]) | (
        values.isna() & any(pd.isna(c) for c in choices)
    )


@pytest.mark.parametrize("conditions", CONDITIONS.values(), ids=CONDITIONS)
def test_all_rows_satisfy_the_conditions(vae, mixed, conditions):
    n = 2500 if len(conditions) > 1 else 200
    table = vae.sample(n, conditions=conditions, random_state=0)
    assert len(table) == n
    assert table.index.equals(pd.RangeIndex(n))
    check_like(table, mixed)
    for name, condition in conditions.items():
        assert satisfied(table[name], condition).all()


def test_every_value_that_satisfies_a_condition_is_drawn(vae):
    table = vae.sample(500, conditions={"count": pd.Interval(1, 4)}, random_state=0)
    assert set(table["count"]) == {2, 3, 4}
    table = vae.sample(500, conditions={"some grade": ["w", "o", None]}, random_state=0)
    assert set(table["some grade"].dropna()) == {"w", "o"}
    assert table["some grade"].isna().any()


@pytest.mark.parametrize("conditions", [None, {}])
def test_no_conditions_are_no_conditions(vae, conditions):
    table = vae.sample(20, conditions=conditions, random_state=0)
    pd.testing.assert_frame_equal(table, vae.sample(20, random_state=0))


@pytest.mark.parametrize(
    "conditions",
    [{"a": "q"}, {"b": "y"}, {"a": "r", "b": "x"}, {"c": pd.Interval(2, 5)}, {"c": 0, "b": "x"}],
    ids=str,
)
def test_conditions_leave_the_other_columns_as_rejection_would(learned, conditions):
    drawn = learned.sample(3000, conditions=conditions, random_state=0)
    free = learned.sample(30_000, random_state=1)
    for name, condition in conditions.items():
        free = free[satisfied(free[name], condition)]
    assert len(free) > 1000
    # Five standard errors of a share.
    tolerance = 5 * np.sqrt(0.25 / 3000 + 0.25 / len(free))
    for name in ("a", "b"):
        shares = [frame[name].value_counts(normalize=True) for frame in (drawn, free)]
        gap = shares[0].sub(shares[1], fill_value=0).abs()
        assert gap.max() < tolerance
    assert abs(drawn["c"].eq(0).mean() - free["c"].eq(0).mean()) < tolerance
    assert stats.ks_2samp(drawn["c"], free["c"]).pvalue > 1e-3


def test_conditions_of_arrays_go_by_the_number_of_the_column():
    vae = TabularVAE(**FAST).fit(ARRAYS["objects"])
    table = vae.sample(20, conditions={0: 2, 1: "a", 2: None}, random_state=0)
    assert table[:, :2].tolist() == [[2, "a"]] * 20
    assert pd.isna(table[:, 2]).all()


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"colour": "red"}, "There is no column 'colour'"),
        ({0: 1}, "There is no column 0"),
        ({"fruit": "plum"}, "No value that column 'fruit' had in training satisfies 'plum'"),
        ({"fruit": "none"}, "No value that column 'fruit'"),
        ({"count": 1000}, "No value that column 'count'"),
        ({"count": None}, "No value that column 'count'"),
        ({"wide": 12.5}, "ask for an interval"),
        ({"wide": pd.Interval(-20, -10)}, "No value that column 'wide'"),
        ({"count": "many"}, "Column 'count'"),
        ({"word": "pear", "day": "1999-12-31"}, "No value that column 'day'"),
    ],
)
def test_conditions_that_can_not_be_met_are_errors(vae, conditions, message):
    with pytest.raises(ValueError, match=message):
        vae.sample(5, conditions=conditions, random_state=0)


def test_rare_rows_are_drawn_in_few_rounds(vae, monkeypatch):
    monkeypatch.setattr(_tabular, "_MAX_ROUNDS", 3)
    # Of the rows drawn, one in a million satisfies them all.
    conditions = {"count": 8, "small": [1, 2], "grade": "w", "word": "fig", "some count": 1}
    table = vae.sample(300, conditions=conditions, random_state=0)
    assert len(table) == 300


def test_rows_that_are_too_rare_are_an_error(vae, monkeypatch):
    monkeypatch.setattr(_tabular, "_MAX_ROUNDS", 1)
    monkeypatch.setattr(_tabular, "_MIN_DRAWS", 1)
    # Of as many rows as are wanted, one round keeps not all.
    with pytest.raises(ValueError, match=r"Only \d+ of the 500 rows satisfy {'word': 'fig'}"):
        vae.sample(500, conditions={"word": "fig"}, random_state=0)


@pytest.mark.parametrize("conditions", [None, {"word": "pear"}])
@pytest.mark.parametrize("n", [0, -1, 1.5, "2"])
def test_the_number_of_rows_must_be_a_positive_integer(vae, n, conditions):
    with pytest.raises((ValueError, TypeError), match="n_samples"):
        vae.sample(n, conditions=conditions)


# ---- Scores --------------------------------------------------------------------------


def change(X, **values):
    """Return X with other values in some columns, in those columns' dtypes where they fit."""
    return X.assign(**{name.replace("_", " "): value for name, value in values.items()})


UNUSUAL = {
    "a word never seen": {"word": "plum"},
    "a declared fruit": {"fruit": pd.Categorical(["none"] * N, ["fig", "pear", "none", "apple"])},
    "a grade without rows": {"grade": pd.Categorical(["t"] * N, list("wolt"), ordered=True)},
    "a large count": {"count": 10**9},
    "a negative count": {"count": -1},
    "a huge number": {"wide": 1e12},
    "a number close to zero": {"inflated": -1e-6},
    "a price with more decimals": {"price": 10_000.123456},
    "a far time": {"day": pd.Timestamp("2200-01-01")},
    "a long time": {"lapse": pd.Timedelta("10000D")},
    "a small integer out of range": {"small": 1000},
}


@pytest.mark.parametrize("values", UNUSUAL.values(), ids=UNUSUAL)
def test_values_never_seen_have_a_finite_and_lower_score(vae, mixed, values):
    scores = vae.score_samples(change(mixed, **values))
    assert np.isfinite(scores).all()
    usual = vae.score_samples(mixed)
    assert scores.mean() < usual.mean() - 1
    assert np.isfinite(vae.transform(change(mixed, **values))).all()


def test_the_farther_a_number_is_the_lower_its_score(vae, mixed):
    scores = [vae.score(change(mixed, wide=10.0**k)) for k in (4, 6, 9, 20, 100)]
    assert (np.diff(scores) < 0).all()


def test_a_rows_score_depends_on_that_row_alone(vae, mixed):
    scores = vae.score_samples(mixed)
    assert scores.shape == (N,)
    assert vae.score(mixed) == pytest.approx(scores.mean())
    some = np.random.RandomState(0).permutation(N)[:50]
    assert_allclose(vae.score_samples(mixed.iloc[some]), scores[some], rtol=1e-9)
    alone = [vae.score(mixed.iloc[k : k + 1]) for k in range(5)]
    assert_allclose(alone, scores[:5], rtol=1e-9)


@pytest.mark.parametrize("autoregressive", [False, True])
def test_densities_of_categories_sum_to_1(autoregressive, dependent):
    params = {**FAST, "max_iter": 5, "n_importance_samples": 500, "autoregressive": autoregressive}
    vae = TabularVAE(**params).fit(dependent[["a", "b"]])
    pairs = [(a, b) for a in ("p", "q", "r", "new") for b in ("x", "y", "new")]
    density = np.exp(vae.score_samples(pd.DataFrame(pairs, columns=["a", "b"])))
    # The bound is below the density but for the error of 500 draws.
    assert 0.9 < density.sum() < 1.02
    one = TabularVAE(**params).fit(dependent[["a"]])
    density = np.exp(one.score_samples(pd.DataFrame({"a": ["p", "q", "r", "new"]})))
    assert 0.9 < density.sum() < 1.005
    assert_allclose(density[:3], dependent["a"].value_counts(normalize=True), atol=0.03)
    assert density[3] < 2 / len(dependent)


@pytest.mark.parametrize("step", [1, 0.5])
def test_densities_of_rounded_numbers_are_with_respect_to_their_unit(step):
    values = step * np.random.RandomState(0).poisson(5, 1000)
    vae = TabularVAE(**FAST, n_importance_samples=50).fit(pd.DataFrame({"n": values}))
    points = pd.DataFrame({"n": np.arange(-2, 40) * step})
    # Numbers in tenths stand for a tenth of a unit each.
    unit = 1 if step == 1 else 0.1
    density = np.exp(vae.score_samples(points))
    assert 0.9 < density.sum() * unit < 1.02


def test_densities_of_numbers_integrate_to_1():
    values = np.random.RandomState(0).normal(5, 2, 1000)
    vae = TabularVAE(**FAST, n_importance_samples=50).fit(pd.DataFrame({"x": values}))
    x = np.linspace(-5, 15, 2001)
    density = np.exp(vae.score_samples(pd.DataFrame({"x": x})))
    assert 0.95 < density.sum() * 0.01 < 1.02
    # In units of X.
    wide = TabularVAE(**FAST, n_importance_samples=50).fit(pd.DataFrame({"x": 100 * values}))
    shift = vae.score(pd.DataFrame({"x": values})) - wide.score(pd.DataFrame({"x": 100 * values}))
    assert shift == pytest.approx(np.log(100), abs=1e-6)


def test_training_raises_the_score(dependent, learned):
    little = TabularVAE(**{**FAST, "max_iter": 1}).fit(dependent)
    assert learned.score(dependent) > little.score(dependent) + 0.2


def test_rows_against_what_was_learned_score_lower(dependent, learned):
    wrong = dependent.assign(b=dependent["b"].map({"x": "y", "y": "x"}))
    assert learned.score(wrong) < learned.score(dependent) - 1.5


# ---- Missing values ------------------------------------------------------------------


def test_values_may_be_missing_at_transform_alone(vae, mixed):
    hidden = np.random.RandomState(0).uniform(size=mixed.shape) < 0.3
    X = mixed.mask(hidden)
    assert np.isfinite(vae.transform(X)).all()
    assert np.isfinite(vae.score_samples(X)).all()
    check_like(vae.reconstruct(X), mixed)


def test_nothing_is_scored_where_nothing_is_observed(dependent, learned):
    unobserved = dependent[:3].assign(a=None, b=None, c=np.nan)
    scores = learned.score_samples(unobserved)
    assert np.ptp(scores) == 0
    # Rows without an entry have no code of their own: this is its divergence from the prior.
    assert -1.5 < scores[0] < 0.1
    partly = learned.score_samples(dependent.assign(c=np.nan))
    expected = np.log(dependent["a"].map(dependent["a"].value_counts(normalize=True)))
    assert abs(partly.mean() - expected.mean()) < 0.5


def test_missing_values_of_training_are_values_like_others(dependent):
    X = dependent.assign(c=dependent["c"].mask(dependent["a"] == "q"))
    vae = TabularVAE(**{**FAST, "max_iter": 10, "hidden_layer_sizes": (32,)}).fit(X)
    table = vae.sample(2000, random_state=0)
    assert (table["c"].isna() == (table["a"] == "q")).mean() > 0.95
    drawn = vae.sample(200, conditions={"c": None}, random_state=0)
    assert (drawn["a"] == "q").mean() > 0.9
    assert vae.score(X[X["a"] == "q"].assign(c=0.0)) < vae.score(X[X["a"] == "q"]) - 2


# ---- Tables that can't be used -------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda X: X[X.columns[::-1]], "must be in the same order"),
        (lambda X: X.drop(columns="word"), "now missing"),
        (lambda X: X.assign(more=1), "unseen at fit time"),
        (lambda X: X.rename(columns={"word": "count"}), "Names of columns must differ"),
        (lambda X: X[:0], "at least one row"),
        (lambda X: X.assign(count="many"), "Column 'count' of X can't be used"),
        (lambda X: X.assign(wide=np.inf), "Column 'wide' of X can't be used: it contains infinity"),
        (lambda X: X.assign(day="some day"), "Column 'day' of X can't be used"),
    ],
)
@pytest.mark.parametrize("method", ["transform", "reconstruct", "score_samples", "partial_fit"])
def test_an_unsuitable_table_is_an_error(vae, mixed, method, spoil, message):
    with pytest.raises(ValueError, match=message):
        getattr(vae, method)(spoil(mixed))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (pd.DataFrame({"a": [1, 2]})[:0], "at least one row and one column"),
        (pd.DataFrame(index=[0, 1]), "at least one row and one column"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "Names of columns must differ"),
        (pd.DataFrame({"a": [1, np.inf]}), "Column 'a'"),
        (pd.DataFrame({"a": [[1], [2]]}), "Column 'a'"),
        (pd.Series([1, 2]), "2-dimensional"),
        (np.zeros(3), "2D array"),
        (np.empty((0, 2)), "0 sample"),
        (np.empty((2, 0)), "0 feature"),
    ],
)
def test_an_unsuitable_table_of_training_is_an_error(X, message):
    vae = TabularVAE(**FAST)
    with pytest.raises((TypeError, ValueError), match=message):
        vae.fit(X)
    assert not hasattr(vae, "n_features_in_")


def test_a_fit_that_fails_leaves_the_model_as_it_was(mixed):
    vae = TabularVAE(**FAST).fit(mixed)
    before = vae.sample(10, random_state=0), vae.score(mixed)
    with pytest.raises(ValueError, match="Column 'b'"):
        vae.fit(pd.DataFrame({"b": [np.inf, 1]}))
    with pytest.raises(ValueError, match="needs at least 2 samples"):
        vae.set_params(early_stopping=True).fit(pd.DataFrame({"b": ["a"]}))
    pd.testing.assert_frame_equal(vae.sample(10, random_state=0), before[0])
    assert vae.score(mixed) == before[1]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"column_types": {"colour": "numeric"}}, r"\['colour'\], which X does not have"),
        ({"column_types": {"word": "numeric"}}, "Column 'word'"),
        ({"column_types": ["numeric"]}, "'column_types' parameter"),
        ({"autoregressive": "yes"}, "'autoregressive' parameter"),
        ({"latent_dim": 0}, "'latent_dim' parameter"),
    ],
)
def test_unsuitable_parameters_are_errors(mixed, params, message):
    with pytest.raises(ValueError, match=message):
        TabularVAE(**{**FAST, **params}).fit(mixed)


@pytest.mark.parametrize("method", ["transform", "score", "reconstruct", "inverse_transform"])
def test_an_unfitted_model_says_so(method, mixed):
    with pytest.raises(NotFittedError):
        getattr(TabularVAE(), method)(mixed)


@pytest.mark.parametrize("conditions", [None, {"a": 1}])
def test_an_unfitted_model_draws_nothing(conditions):
    with pytest.raises(NotFittedError):
        TabularVAE().sample(conditions=conditions)


def test_codes_of_another_dimension_are_an_error(vae):
    with pytest.raises(ValueError, match="latent_dim=3"):
        vae.inverse_transform(np.zeros((2, 5)))


def test_without_pandas_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pandas: pip install 'skvae\[data\]'"):
        TabularVAE(**FAST).fit(np.zeros((5, 2)))


# ---- Among scikit-learn's estimators -------------------------------------------------


def through_pickle(vae, folder):
    return pickle.loads(pickle.dumps(vae))


def through_joblib(vae, folder):
    joblib.dump(vae, folder / "vae.joblib")
    return joblib.load(folder / "vae.joblib", mmap_mode="r")


def through_copy(vae, folder):
    return copy.deepcopy(vae)


@pytest.mark.parametrize("there_and_back", [through_pickle, through_joblib, through_copy])
def test_a_stored_model_answers_the_same(there_and_back, vae, mixed, tmp_path):
    back = there_and_back(vae, tmp_path)
    assert np.array_equal(back.transform(mixed), vae.transform(mixed))
    assert np.array_equal(back.score_samples(mixed), vae.score_samples(mixed))
    for conditions in (None, {"grade": "o"}):
        tables = (m.sample(20, conditions=conditions, random_state=0) for m in (back, vae))
        pd.testing.assert_frame_equal(*tables)
    assert back.partial_fit(mixed).n_iter_ == 4


def test_a_clone_has_the_parameters_and_nothing_of_the_fit(vae, mixed):
    kinds = {"count": "ordinal"}
    other = clone(vae).set_params(column_types=kinds, autoregressive=False)
    assert other.get_params() == {
        **vae.get_params(),
        "column_types": kinds,
        "autoregressive": False,
    }
    with pytest.raises(NotFittedError):
        clone(vae).transform(mixed)
    assert np.array_equal(clone(vae).fit_transform(mixed), vae.transform(mixed))


def test_codes_may_be_a_frame(mixed):
    rows = mixed.set_axis([f"row {k}" for k in range(N)])
    vae = TabularVAE(**FAST).set_output(transform="pandas")
    Z = vae.fit_transform(rows)
    assert list(Z.columns) == ["tabularvae0", "tabularvae1", "tabularvae2"]
    assert Z.index.equals(rows.index)
    check_like(vae.inverse_transform(Z), mixed)


def test_it_is_a_step_of_a_pipeline(dependent):
    X, y = dependent[["b", "c"]], dependent["a"] == "q"
    model = make_pipeline(TabularVAE(**{**FAST, "max_iter": 10}), LogisticRegression())
    assert model.fit(X, y).score(X, y) > 0.95


def test_a_grid_search_over_the_dimension_of_codes_needs_no_scorer(dependent):
    # Without the columns before them, columns depend on each other through codes alone.
    vae = TabularVAE(**{**FAST, "max_iter": 10}, autoregressive=False)
    grid = {"latent_dim": [1, 4]}
    search = GridSearchCV(vae, grid, cv=2, error_score="raise").fit(dependent[:1000])
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.module_.latent_dim == search.best_params_["latent_dim"]
    check_like(search.best_estimator_.sample(20, random_state=0), dependent)


# ---- Training ------------------------------------------------------------------------


def test_early_stopping_keeps_the_best_epoch(mixed):
    params = {**FAST, "max_iter": 30, "n_iter_no_change": 2, "learning_rate_init": 0.1}
    vae = TabularVAE(**params, early_stopping=True).fit(mixed)
    losses = vae.history_["validation_loss"]
    assert np.isfinite(losses).all()
    assert len(losses) == vae.n_iter_ < 30
    check_like(vae.sample(20, random_state=0), mixed)


def test_partial_fit_goes_on_with_the_cells_of_the_first_call(mixed):
    vae = TabularVAE(**FAST).partial_fit(mixed)
    likelihood, score = vae.module_.likelihood, vae.score(mixed)
    # The second has values that the first had not.
    vae.partial_fit(change(mixed, word="plum", wide=1e6, count=99))
    for _ in range(5):
        vae.partial_fit(mixed)
    assert vae.n_iter_ == 7
    assert vae.module_.likelihood == likelihood
    assert vae.score(mixed) > score
    check_like(vae.sample(50, random_state=0), mixed)


def test_a_warm_start_goes_on_from_the_weights(mixed):
    vae = TabularVAE(**FAST, warm_start=True).fit(mixed)
    likelihood, score = vae.module_.likelihood, vae.score(mixed)
    vae.fit(mixed[: N // 2])
    assert vae.module_.likelihood == likelihood
    assert vae.fit(mixed).score(mixed) > score
    assert not equal_frames(
        vae.sample(20, random_state=0), TabularVAE(**FAST).fit(mixed).sample(20, random_state=0)
    )
    vae.set_params(autoregressive=False)
    with pytest.raises(ValueError, match="training cannot continue"):
        vae.fit(mixed)


def test_a_second_fit_may_have_other_columns(mixed):
    vae = TabularVAE(**FAST).fit(mixed).fit(mixed[["grade", "wide"]])
    check_like(vae.sample(20, random_state=0), mixed[["grade", "wide"]])
    assert TabularVAE(**FAST).fit(mixed).fit(ARRAYS["int8"]).sample().dtype == np.int8


def test_encoder_and_decoder_learn_the_same_with_and_without_autoregression(mixed):
    with_context, without = (
        TabularVAE(**FAST, autoregressive=autoregressive).fit(mixed).module_
        for autoregressive in (True, False)
    )
    plain = dict(without.named_parameters())
    names = {name for name, _ in with_context.named_parameters()} - set(plain)
    assert names == {"code_weight", "level_embedding", "column_bias", "output_weight"}
    learned = dict(with_context.named_parameters())
    for name, weights in plain.items():
        torch.testing.assert_close(learned[name], weights, rtol=1e-3, atol=1e-4)
    assert learned["output_weight"].abs().max() > 0.01


# ---- What is learned -----------------------------------------------------------------


def test_a_column_that_follows_from_another_does_so_in_synthetic_rows(learned, dependent):
    table = learned.sample(4000, random_state=0)
    assert (table["a"].map(OF_A) == table["b"]).mean() > 0.95
    for name in ("a", "b"):
        shares = [f[name].value_counts(normalize=True).sort_index() for f in (table, dependent)]
        assert_allclose(shares[0], shares[1], atol=0.05)


def test_a_mixture_given_another_column_is_learned(learned, dependent):
    table = learned.sample(4000, random_state=0)
    assert abs(table["c"].eq(0).mean() - dependent["c"].eq(0).mean()) < 0.05
    for a, rate in RATES.items():
        c = table["c"][table["a"] == a]
        assert abs(c.eq(0).mean() - rate) < 0.15
        # What is not zero lies about the centre, on both sides for one of them.
        away = (c[c != 0].abs() - CENTRES[a]).abs()
        assert (away < 2).mean() > 0.75
        assert ((c < 0).mean() > 0.1) == (a == "r")


def test_autoregression_makes_synthetic_rows_agree_in_themselves(dependent):
    params = {**FAST, "latent_dim": 1, "max_iter": 8}
    agreement, scores = [], []
    for autoregressive in (False, True):
        vae = TabularVAE(**params, autoregressive=autoregressive).fit(dependent)
        table = vae.sample(4000, random_state=0)
        agreement.append((table["a"].map(OF_A) == table["b"]).mean())
        scores.append(vae.score(dependent))
    assert agreement[1] > agreement[0]
    assert scores[1] > scores[0]
