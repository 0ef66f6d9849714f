"""Metrics of synthetic tables."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from skvae.metrics import associations, column_distances, compare_tables


def mixed_table(n=600, seed=0, noise=0.3):
    """Return rows whose label depends on a number, a category and a date."""
    rng = np.random.RandomState(seed)
    kind = rng.choice(["a", "b", "c"], n, p=[0.5, 0.3, 0.2])
    size = rng.normal(size=n) + (kind == "b")
    score = size + (kind == "c") + noise * rng.normal(size=n)
    days = pd.to_timedelta((score * 10).round(), unit="D")
    return pd.DataFrame(
        {
            "size": np.where(rng.uniform(size=n) < 0.1, np.nan, size),
            "kind": pd.Categorical(np.where(rng.uniform(size=n) < 0.1, None, kind)),
            "when": pd.Timestamp("2020-01-01") + days,
            "flag": rng.uniform(size=n) < 0.5,
            "label": np.where(score > 0.5, "high", "low"),
        }
    )


@pytest.fixture(scope="module")
def table():
    return mixed_table()


# ---- Columns -------------------------------------------------------------------------


def test_the_distance_of_a_table_to_itself_is_0_in_any_order(table):
    shuffled = table.sample(frac=1, random_state=0)[table.columns[::-1]]
    distances = column_distances(table, shuffled)
    assert list(distances.index) == list(table.columns)
    assert_allclose(distances, 0, atol=1e-12)


def test_the_distance_of_numbers_is_the_kolmogorov_smirnov_statistic():
    a, b = np.random.RandomState(0).normal(size=(2, 200))
    b = b * 2 + 0.3
    expected = stats.ks_2samp(a, b).statistic
    distances = column_distances(pd.DataFrame({"x": a}), pd.DataFrame({"x": b}))
    assert_allclose(distances["x"], expected)


@pytest.mark.parametrize(
    ("real", "synthetic", "expected"),
    [
        (["a", "b"], ["c", "d"], 1.0),
        (["a", "a", "b", "b"], ["a", "a", "a", "b"], 0.25),
        (["a", None], ["a", "a"], 0.5),
        ([True, False], [True, True], 0.5),
        ([1.0, np.nan], [1.0, 1.0], 0.5),
        ([1.0, 2.0], [3.0, 4.0], 1.0),
        (pd.to_datetime(["2020-01-01", "2021-01-01"]), pd.to_datetime(["2022-01-01 00:00:01"]), 1),
        (pd.to_datetime(["2020-01-01"]), pd.to_datetime(["2020-01-01 00:00:00.000"]), 0),
    ],
)
def test_distance_of_small_columns(real, synthetic, expected):
    distances = column_distances(pd.DataFrame({"x": real}), pd.DataFrame({"x": synthetic}))
    assert_allclose(distances["x"], expected)


# ---- Associations --------------------------------------------------------------------


def test_associations_are_symmetric_and_between_0_and_1(table):
    matrix = associations(table)
    assert list(matrix.index) == list(matrix.columns) == list(table.columns)
    assert_allclose(matrix, matrix.T)
    assert_allclose(np.diag(matrix), 1)
    assert ((matrix >= 0) & (matrix <= 1)).all(axis=None)
    assert matrix.loc["size", "when"] > 0.7
    assert matrix.loc["flag"].drop("flag").max() < 0.15


def test_the_association_of_numbers_is_the_absolute_spearman_correlation(table):
    known = table.dropna()
    expected = abs(stats.spearmanr(known["size"], -known["when"].astype("int64")).statistic)
    assert_allclose(associations(known).loc["size", "when"], expected)


def test_the_association_of_categories_is_cramers_v(table):
    counts = pd.crosstab(table["kind"].astype(object).fillna("missing"), table["label"])
    expected = stats.contingency.association(counts.to_numpy(), method="cramer")
    assert_allclose(associations(table).loc["kind", "label"], expected)


def test_the_association_of_a_number_and_a_category_is_the_correlation_ratio_of_ranks(table):
    known = table[table["size"].notna()]
    ranks = known["size"].rank()
    between = ranks.groupby(known["label"]).transform("mean").var(ddof=0)
    expected = np.sqrt(between / ranks.var(ddof=0))
    assert_allclose(associations(table).loc["size", "label"], expected)


def test_the_association_of_a_column_with_a_function_of_the_column_is_1():
    pairs = pd.DataFrame({"a": list("xxyyz"), "b": [1, 1, 2, 2, 3], "c": list("ppqqr"), "d": 0})
    matrix = associations(pairs)
    assert_allclose(matrix.loc[["a", "b", "c"], ["a", "b", "c"]], 1)
    assert_allclose(matrix.loc["d", ["a", "b", "c"]], 0)


# ---- Comparing -----------------------------------------------------------------------


def test_comparison_distinguishes_copies_new_rows_and_shuffled_rows(table):
    test = mixed_table(seed=1)
    rng = np.random.RandomState(0)
    shuffled = table.apply(lambda column: column.sample(frac=1, random_state=rng).to_numpy())
    tables = {"copies": table, "new": mixed_table(seed=2), "shuffled": shuffled}
    comparison = compare_tables(tables, table, test, target="label", random_state=0)
    assert list(comparison.index) == list(tables)
    copies, new, shuffled = (comparison.loc[name] for name in tables)
    for model in ("linear", "forest", "boosting"):
        assert min(copies[model], new[model]) > 0.85
    assert max(shuffled["forest"], shuffled["boosting"]) < 0.7
    assert copies["column_distance"] == copies["association_error"] == 0
    assert copies["closer_to_training"] > 0.95
    assert abs(new["closer_to_training"] - 0.5) < 0.1
    assert shuffled["column_distance"] == 0
    assert shuffled["association_error"] > 5 * new["association_error"]
    assert new["mean"] > max(copies["mean"], shuffled["mean"])


def test_a_numeric_target_is_predicted_by_regression_with_a_fixed_seed(table):
    test = mixed_table(seed=1)
    tables = {"new": mixed_table(seed=2)}
    first, second = (
        compare_tables(tables, table, test, target="when", random_state=0) for _ in range(2)
    )
    pd.testing.assert_frame_equal(first, second)
    assert first.loc["new", "linear"] > 0.8


def test_a_table_with_a_single_class_predicts_that_class(table):
    single = table[table["label"] == "low"]
    comparison = compare_tables({"single": single}, table, table, target="label", random_state=0)
    assert_allclose(comparison.loc["single", ["linear", "forest", "boosting"]].nunique(), 1)


def test_column_names_may_be_integers(table):
    renamed = table.set_axis(range(table.shape[1]), axis=1)
    comparison = compare_tables({"real": renamed}, renamed, renamed, target=4, random_state=0)
    assert comparison.loc["real", "column_distance"] == 0


def test_other_columns_and_an_unknown_target_are_errors(table):
    with pytest.raises(ValueError, match=r"columns of train, .* table 'odd' has"):
        compare_tables({"odd": table.drop(columns="size")}, table, table, target="label")
    with pytest.raises(ValueError, match=r"target must be a column of train, .* got 'income'"):
        compare_tables({"real": table}, table, table, target="income")
