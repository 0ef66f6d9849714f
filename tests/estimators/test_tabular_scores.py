"""Scores of TabularVAE: densities, unusual values and missing values."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from helpers import FAST_TABULAR as FAST
from helpers import assert_like, change
from skvae import TabularVAE

N = 300


# ---- Densities -----------------------------------------------------------------------


@pytest.mark.parametrize("autoregressive", [False, True])
def test_densities_of_categories_sum_to_1(autoregressive, dependent):
    params = {
        **FAST,
        "max_iter": 5,
        "n_importance_samples": 500,
        "autoregressive": autoregressive,
    }
    vae = TabularVAE(**params).fit(dependent[["a", "b"]])
    pairs = [(a, b) for a in ("p", "q", "r", "new") for b in ("x", "y", "new")]
    density = np.exp(vae.score_samples(pd.DataFrame(pairs, columns=["a", "b"])))
    # The bound is below the density, up to the error of 500 draws.
    assert 0.9 < density.sum() < 1.02
    one = TabularVAE(**params).fit(dependent[["a"]])
    density = np.exp(one.score_samples(pd.DataFrame({"a": ["p", "q", "r", "new"]})))
    assert 0.9 < density.sum() < 1.005
    assert_allclose(density[:3], dependent["a"].value_counts(normalize=True), atol=0.03)
    assert density[3] < 2 / len(dependent)


@pytest.mark.parametrize("step", [1, 0.5])
def test_densities_of_rounded_numbers_are_per_unit_of_rounding(step):
    values = step * np.random.RandomState(0).poisson(5, 1000)
    vae = TabularVAE(**FAST, n_importance_samples=50).fit(pd.DataFrame({"n": values}))
    points = pd.DataFrame({"n": np.arange(-2, 40) * step})
    # Multiples of 0.5 are rounded to tenths.
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


# ---- Unusual values ------------------------------------------------------------------


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
def test_unseen_values_have_a_finite_and_lower_score(mixed_vae, mixed, values):
    scores = mixed_vae.score_samples(change(mixed, **values))
    assert np.isfinite(scores).all()
    usual = mixed_vae.score_samples(mixed)
    assert scores.mean() < usual.mean() - 1
    assert np.isfinite(mixed_vae.transform(change(mixed, **values))).all()


def test_codes_ignore_unseen_categories(dependent, dependent_vae):
    unseen, missing = dependent.assign(b="never"), dependent.assign(b=None)
    assert np.array_equal(dependent_vae.transform(unseen), dependent_vae.transform(missing))


def test_later_rows_with_unseen_categories_teach_nothing_about_known_categories():
    rng = np.random.RandomState(0)
    first = pd.DataFrame({"a": rng.choice(["u", "v"], 300), "b": rng.normal(size=300)})
    later = first.assign(a=first["a"].replace("v", "new"))
    vae = TabularVAE(latent_dim=1, max_iter=10, random_state=0).fit(first)
    for _ in range(10):
        vae.partial_fit(later)
    sampled = vae.sample(500, random_state=0)["a"]
    assert (sampled == "u").mean() > 0.7  # "v" no longer occurs, and "new" is not "v"


def test_the_score_decreases_with_the_distance_of_a_number(mixed_vae, mixed):
    scores = [mixed_vae.score(change(mixed, wide=10.0**k)) for k in (4, 6, 9, 20, 100)]
    assert (np.diff(scores) < 0).all()


def test_the_score_of_a_row_depends_on_that_row_alone(mixed_vae, mixed):
    scores = mixed_vae.score_samples(mixed)
    assert scores.shape == (N,)
    assert mixed_vae.score(mixed) == pytest.approx(scores.mean())
    some = np.random.RandomState(0).permutation(N)[:50]
    assert_allclose(mixed_vae.score_samples(mixed.iloc[some]), scores[some], rtol=1e-9)
    alone = [mixed_vae.score(mixed.iloc[k : k + 1]) for k in range(5)]
    assert_allclose(alone, scores[:5], rtol=1e-9)


def test_training_raises_the_score(dependent, dependent_vae):
    little = TabularVAE(**{**FAST, "max_iter": 1}).fit(dependent)
    assert dependent_vae.score(dependent) > little.score(dependent) + 0.2


def test_rows_that_contradict_the_dependence_score_lower(dependent, dependent_vae):
    wrong = dependent.assign(b=dependent["b"].map({"x": "y", "y": "x"}))
    assert dependent_vae.score(wrong) < dependent_vae.score(dependent) - 1.5


# ---- Missing values ------------------------------------------------------------------


def test_columns_complete_in_fit_may_have_missing_values_in_transform(mixed_vae, mixed):
    hidden = np.random.RandomState(0).uniform(size=mixed.shape) < 0.3
    X = mixed.mask(hidden)
    assert np.isfinite(mixed_vae.transform(X)).all()
    assert np.isfinite(mixed_vae.score_samples(X)).all()
    assert_like(mixed_vae.reconstruct(X), mixed)


@pytest.mark.filterwarnings("ignore:No value of column")
def test_the_score_covers_observed_entries_only(dependent, dependent_vae):
    unobserved = dependent[:3].assign(a=None, b=None, c=np.nan)
    scores = dependent_vae.score_samples(unobserved)
    assert np.ptp(scores) == 0
    # The score is minus the divergence between prior and posterior of a row without entries.
    assert -1.5 < scores[0] < 0.1
    partly = dependent_vae.score_samples(dependent.assign(c=np.nan))
    expected = np.log(dependent["a"].map(dependent["a"].value_counts(normalize=True)))
    assert abs(partly.mean() - expected.mean()) < 0.5


def test_missing_values_in_training_are_modelled_as_a_category(dependent):
    X = dependent.assign(c=dependent["c"].mask(dependent["a"] == "q"))
    vae = TabularVAE(**{**FAST, "max_iter": 10, "hidden_layer_sizes": (32,)}).fit(X)
    table = vae.sample(2000, random_state=0)
    assert (table["c"].isna() == (table["a"] == "q")).mean() > 0.95
    drawn = vae.sample(200, conditions={"c": None}, random_state=0)
    assert (drawn["a"] == "q").mean() > 0.9
    assert vae.score(X[X["a"] == "q"].assign(c=0.0)) < vae.score(X[X["a"] == "q"]) - 2
