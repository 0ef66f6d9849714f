"""Synthetic rows of TabularVAE, with and without conditions."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from helpers import B_OF_A, CENTRES, ZERO_RATES, assert_like, equal_frames
from helpers import FAST_TABULAR as FAST
from skvae import TabularVAE
from skvae.estimators import _rejection

N = 300


# ---- Distributions -------------------------------------------------------------------


def test_synthetic_columns_have_the_fraction_of_missing_values_of_the_training_data(
    mixed_vae, mixed
):
    table = mixed_vae.sample(1000, random_state=0)
    assert_allclose(table.isna().mean(), mixed.isna().mean(), atol=0.1)


def test_synthetic_columns_have_the_distribution_of_the_training_data(mixed_vae, mixed):
    table = mixed_vae.sample(1000, random_state=0)
    for name in ("wide", "price", "inflated", "small"):
        assert stats.ks_2samp(table[name], mixed[name]).statistic < 0.12
    for name in ("word", "fruit", "grade", "truth", "some truth"):
        fractions = [
            frame[name].value_counts(normalize=True).sort_index() for frame in (table, mixed)
        ]
        assert_allclose(fractions[0].astype(float), fractions[1].astype(float), atol=0.1)


def test_synthetic_numbers_are_new_values(mixed_vae, mixed):
    table = mixed_vae.sample(N, random_state=0)
    assert table["wide"].isin(mixed["wide"]).mean() < 0.01
    assert table["wide"].nunique() == N
    assert 0.2 < table["inflated"].eq(0).mean() < 0.6


def test_synthetic_rows_keep_a_deterministic_dependence(dependent_vae, dependent):
    table = dependent_vae.sample(4000, random_state=0)
    assert (table["a"].map(B_OF_A) == table["b"]).mean() > 0.95
    for name in ("a", "b"):
        fractions = [f[name].value_counts(normalize=True).sort_index() for f in (table, dependent)]
        assert_allclose(fractions[0], fractions[1], atol=0.05)


def test_synthetic_rows_keep_conditional_mixtures(dependent_vae, dependent):
    table = dependent_vae.sample(4000, random_state=0)
    assert abs(table["c"].eq(0).mean() - dependent["c"].eq(0).mean()) < 0.05
    for a, rate in ZERO_RATES.items():
        c = table["c"][table["a"] == a]
        assert abs(c.eq(0).mean() - rate) < 0.15
        # Values other than zero lie around the centre, and for one category on both sides.
        away = (c[c != 0].abs() - CENTRES[a]).abs()
        assert (away < 2).mean() > 0.75
        assert ((c < 0).mean() > 0.1) == (a == "r")


def test_autoregression_improves_the_dependence_between_columns(dependent):
    params = {**FAST, "latent_dim": 1, "max_iter": 8}
    agreement, scores = [], []
    for autoregressive in (False, True):
        vae = TabularVAE(**params, autoregressive=autoregressive).fit(dependent)
        table = vae.sample(4000, random_state=0)
        agreement.append((table["a"].map(B_OF_A) == table["b"]).mean())
        scores.append(vae.score(dependent))
    assert agreement[1] > agreement[0]
    assert scores[1] > scores[0]


# ---- Random states -------------------------------------------------------------------


@pytest.mark.parametrize("conditions", [None, {"word": "pear", "some day": None}])
def test_random_state_determines_synthetic_rows(mixed_vae, conditions):
    one, same, other, fresh, fresher = (
        mixed_vae.sample(40, conditions=conditions, random_state=state)
        for state in (0, 0, 1, None, None)
    )
    assert equal_frames(one, same)
    assert not equal_frames(one, other)
    assert not equal_frames(fresh, fresher)
    rng = np.random.RandomState(0)
    first, second = (
        mixed_vae.sample(40, conditions=conditions, random_state=rng) for _ in range(2)
    )
    assert equal_frames(first, one)
    assert not equal_frames(second, one)


# ---- Conditions ----------------------------------------------------------------------


CONDITIONS = {
    "a category": {"fruit": "pear"},
    "a rare one": {"word": "fig"},
    "several": {"word": ["fig", "pear"]},
    "an integer": {"count": 3},
    "integers": {"count": [1, 3]},
    "boolean": {"truth": True},
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
def test_all_rows_satisfy_the_conditions(mixed_vae, mixed, conditions):
    n = 2500 if len(conditions) > 1 else 200
    table = mixed_vae.sample(n, conditions=conditions, random_state=0)
    assert len(table) == n
    assert table.index.equals(pd.RangeIndex(n))
    assert_like(table, mixed)
    for name, condition in conditions.items():
        assert satisfied(table[name], condition).all()


def test_every_value_that_satisfies_a_condition_is_drawn(mixed_vae):
    table = mixed_vae.sample(500, conditions={"count": pd.Interval(1, 4)}, random_state=0)
    assert set(table["count"]) == {2, 3, 4}
    table = mixed_vae.sample(500, conditions={"some grade": ["w", "o", None]}, random_state=0)
    assert set(table["some grade"].dropna()) == {"w", "o"}
    assert table["some grade"].isna().any()


@pytest.mark.parametrize("conditions", [None, {}])
def test_empty_conditions_equal_no_conditions(mixed_vae, conditions):
    table = mixed_vae.sample(20, conditions=conditions, random_state=0)
    pd.testing.assert_frame_equal(table, mixed_vae.sample(20, random_state=0))


@pytest.mark.parametrize(
    "conditions",
    [{"a": "q"}, {"b": "y"}, {"a": "r", "b": "x"}, {"c": pd.Interval(2, 5)}, {"c": 0, "b": "x"}],
    ids=str,
)
def test_conditional_sampling_equals_rejection_sampling(dependent_vae, conditions):
    drawn = dependent_vae.sample(3000, conditions=conditions, random_state=0)
    free = dependent_vae.sample(30_000, random_state=1)
    for name, condition in conditions.items():
        free = free[satisfied(free[name], condition)]
    assert len(free) > 1000
    # Five standard errors of a fraction.
    tolerance = 5 * np.sqrt(0.25 / 3000 + 0.25 / len(free))
    for name in ("a", "b"):
        fractions = [frame[name].value_counts(normalize=True) for frame in (drawn, free)]
        gap = fractions[0].sub(fractions[1], fill_value=0).abs()
        assert gap.max() < tolerance
    assert abs(drawn["c"].eq(0).mean() - free["c"].eq(0).mean()) < tolerance
    assert stats.ks_2samp(drawn["c"], free["c"]).pvalue > 1e-3


def test_conditions_may_be_iterators(dependent_vae):
    name = dependent_vae.feature_names_in_[0]
    value = dependent_vae.sample(1, random_state=0)[name].iloc[0]
    expected = dependent_vae.sample(5, conditions={name: [value]}, random_state=0)
    actual = dependent_vae.sample(5, conditions={name: iter([value])}, random_state=0)
    assert equal_frames(actual, expected)


def test_conditions_of_arrays_name_columns_by_number():
    X = np.array([[1, "a", 2.5], [2, "b", None], [3, None, 0.5]] * 20, dtype=object)
    vae = TabularVAE(**FAST).fit(X)
    table = vae.sample(20, conditions={0: 2, 1: "a", 2: None}, random_state=0)
    assert table[:, :2].tolist() == [[2, "a"]] * 20
    assert pd.isna(table[:, 2]).all()


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"colour": "red"}, "There is no column 'colour'"),
        ({0: 1}, "There is no column 0"),
        ({"fruit": "plum"}, "No training value of column 'fruit' satisfies 'plum'"),
        ({"fruit": "none"}, "No training value of column 'fruit'"),
        ({"count": 1000}, "No training value of column 'count'"),
        ({"count": None}, "No training value of column 'count'"),
        ({"wide": 12.5}, "pass a pandas.Interval"),
        ({"wide": pd.Interval(-20, -10)}, "No training value of column 'wide'"),
        ({"count": "many"}, r"conditions\['count'\]"),
        ({"word": "pear", "day": "1999-12-31"}, "No training value of column 'day'"),
    ],
)
def test_impossible_conditions_are_errors(mixed_vae, conditions, message):
    with pytest.raises(ValueError, match=message):
        mixed_vae.sample(5, conditions=conditions, random_state=0)


def test_rare_rows_need_few_rounds(mixed_vae, monkeypatch):
    monkeypatch.setattr(_rejection, "_MAX_ROUNDS", 3)
    # One row in a million satisfies all conditions.
    conditions = {"count": 8, "small": [1, 2], "grade": "w", "word": "fig", "some count": 1}
    table = mixed_vae.sample(300, conditions=conditions, random_state=0)
    assert len(table) == 300


def test_too_few_matching_rows_are_an_error(mixed_vae, monkeypatch):
    monkeypatch.setattr(_rejection, "_MAX_ROUNDS", 1)
    monkeypatch.setattr(_rejection, "_MIN_DRAWS", 1)
    # One round draws 500 rows and keeps some of them.
    with pytest.raises(ValueError, match=r"Only \d+ of the 500 rows satisfy {'word': 'fig'}"):
        mixed_vae.sample(500, conditions={"word": "fig"}, random_state=0)


@pytest.mark.parametrize("conditions", [None, {"word": "pear"}])
@pytest.mark.parametrize("n", [0, -1, 1.5, "2"])
def test_the_number_of_rows_must_be_a_positive_integer(mixed_vae, n, conditions):
    with pytest.raises(ValueError, match="n_samples must be an integer of at least 1"):
        mixed_vae.sample(n, conditions=conditions)
