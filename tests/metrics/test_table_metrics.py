"""Metrics of synthetic tables."""

import io
import tracemalloc
from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from helpers_dtypes import to_polars
from numpy.testing import assert_allclose
from scipy import stats
from sklearn import ensemble

from skvae.metrics import _table_scores, associations, column_distances, compare_tables
from skvae.metrics._table_scores import _fit_encoder, _to_frame


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


@pytest.fixture
def few_trees(monkeypatch):
    """Let forests and boosting train fast, in tests where their quality does not matter."""
    for name in ("RandomForestClassifier", "RandomForestRegressor"):
        monkeypatch.setattr(_table_scores, name, partial(getattr(ensemble, name), 5))
    for name in ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor"):
        monkeypatch.setattr(_table_scores, name, partial(getattr(ensemble, name), max_iter=5))


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


def test_associations_of_many_categories_need_little_memory():
    rng = np.random.RandomState(0)
    n = 20_000
    table = pd.DataFrame({"a": np.arange(n).astype(str), "b": rng.permutation(n).astype(str)})
    tracemalloc.start()
    try:
        matrix = associations(table)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert matrix.loc["a", "b"] == 1
    assert peak < 50e6  # of the table of all pairs: 3.2 GB


@pytest.mark.parametrize(("n_first", "n_second", "n_rows"), [(2, 2, 9), (2, 30, 99), (90, 70, 999)])
def test_cramers_v_of_sparse_pairs_is_exact(n_first, n_second, n_rows):
    rng = np.random.RandomState(0)
    a, b = rng.randint(n_first, size=n_rows), rng.randint(n_second, size=n_rows)
    table = pd.DataFrame({"a": a, "b": b}).astype("category")
    counts = stats.contingency.crosstab(a, b).count
    expected = stats.contingency.association(counts, method="cramer")
    assert_allclose(associations(table).loc["a", "b"], expected, rtol=0, atol=1e-12)


def test_the_largest_numbers_are_ranked():
    table = pd.DataFrame({"a": [1e308, -1e308, 0.0], "b": [3, 1, 2], "c": list("xyy")})
    assert_allclose(associations(table).loc["a"], [1, 1, 0.866], atol=1e-3)


def test_independent_categories_have_association_0():
    table = pd.DataFrame({"a": list("xxyyzz") * 7, "b": ["p", "q"] * 21})
    assert associations(table).loc["a", "b"] == 0


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


@pytest.mark.usefixtures("few_trees")
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


@pytest.mark.usefixtures("few_trees")
def test_column_names_may_be_integers(table):
    renamed = table.set_axis(range(table.shape[1]), axis=1)
    comparison = compare_tables({"real": renamed}, renamed, renamed, target=4, random_state=0)
    assert comparison.loc["real", "column_distance"] == 0


@pytest.mark.usefixtures("few_trees")
def test_any_column_names_and_any_index_give_the_same_comparison(table):
    table, test = table[:60], mixed_table(60, seed=1)
    expected = compare_tables({"x": test}, table, test, target="label", random_state=0)
    names = dict(zip(table.columns, [3, "3", (1, 2), 0, None], strict=True))
    train, test = (
        t.rename(columns=names).set_axis([7] * len(t)).iloc[:, [3, 0, 4, 2, 1]]
        for t in (table, test)
    )
    train = train[list(names.values())]
    found = compare_tables({"x": test}, train, test, target=None, random_state=0)
    pd.testing.assert_frame_equal(found, expected)


@pytest.mark.usefixtures("few_trees")
def test_a_table_read_from_a_csv_file_is_compared_as_the_original(table):
    code = pd.Categorical(np.arange(60) % 4)
    table, synthetic = table[:60].assign(code=code), mixed_table(60, seed=2).assign(code=code)
    for each in (table, synthetic):
        each["size"] = (each["size"] * 64).round() / 64  # exact in a CSV file
    text = synthetic.astype({"flag": int}).to_csv(index=False)
    tables = {
        "original": synthetic,
        "csv": pd.read_csv(io.StringIO(text)),
        "text": pd.read_csv(io.StringIO(text), dtype=str),
        "arrow": pa.Table.from_pandas(synthetic),
        "polars": to_polars(synthetic),
        "nullable": synthetic.convert_dtypes(),
    }
    for target in ("label", "flag", "code", "when"):
        comparison = compare_tables(tables, table, table, target=target, random_state=0)
        assert (comparison == comparison.loc["original"]).all(axis=None)


def test_categories_beyond_255_share_a_one_hot_column():
    rng = np.random.RandomState(0)
    few, many = (rng.randint(n, size=2_000).astype(str).astype(object) for n in (255, 10_000))
    encoder = _fit_encoder([few, many, few], [False] * 3, n_rows=2_000, without=2)
    frame = _to_frame([few, many, few], [False] * 3)
    assert encoder.transform(frame).shape == (2_000, 255 + 255)
    # 10 million rows: fewer columns.
    encoder = _fit_encoder([few, many, few], [False] * 3, n_rows=10**7)
    assert encoder.transform(frame).shape[1] * 10**7 <= 2**27


@pytest.mark.usefixtures("few_trees")
def test_a_class_of_one_row_among_many_rows_is_no_error(table):
    # With more than 10,000 rows, gradient boosting holds out rows of each class.
    large = pd.DataFrame({"x": np.arange(10_001) % 100, "y": ["rare"] + ["a", "b"] * 5000})
    comparison = compare_tables({"x": large}, large, large[:100], target="y", random_state=0)
    assert comparison.notna().all(axis=None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tables": pd.DataFrame({"x": [1]})}, "tables must be a dict of data frames.*DataFrame"),
        ({"tables": {0: pd.DataFrame({"x": [1]})}}, "names of tables must be strings; got 0"),
        ({"tables": {"a": np.eye(5)}}, "table 'a' must be a data frame.*ndarray"),
        ({"train": [1]}, "train must be a data frame.*list"),
        ({"test": None}, "test must be a data frame.*NoneType"),
        ({"test": pl.Series([1])}, "test must be a data frame.*Series"),
        ({"test": pl.LazyFrame({"x": [1]})}, r"test is a LazyFrame.*X\.collect"),
        ({"test": pa.table({"x": [1]}).to_reader()}, r"test is a RecordBatchReader.*X\.read_all"),
    ],
)
def test_other_objects_than_tables_are_type_errors(table, change, message):
    arguments = {"tables": {"a": table}, "train": table, "test": table, **change}
    with pytest.raises(TypeError, match=message):
        compare_tables(**arguments, target="label")


def with_value(table, name, value):
    table = table.astype({name: object})
    table.iloc[3, table.columns.get_loc(name)] = value
    return table


@pytest.mark.parametrize("label", ["train", "test", "table 'test'"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t[:0], "must have at least one row.* no rows"),
        (lambda t: t.iloc[:, :0], "must have at least one row and one column; got no columns"),
        (lambda t: pd.concat([t, t], axis=1), "must have different names; 'size' occurs more"),
        (
            lambda t: pa.table([pa.array([1.0])] * 2, names=["size", "size"]),
            "must have different names; 'size' occurs more",
        ),
        (lambda t: with_value(t, "size", np.inf), r"has the value inf in row 3, which is not fin"),
        (lambda t: t.assign(label=None), "no known value"),
    ],
)
def test_an_invalid_table_is_named(table, label, change, message):
    arguments = {"train": table, "test": table, "table 'test'": table, label: change(table)}
    with pytest.raises(ValueError, match=f"{label}.*{message}|{message} in {label}"):
        compare_tables(
            {"test": arguments["table 'test'"]},
            arguments["train"],
            arguments["test"],
            target="label",
        )


def test_a_target_without_different_values_or_without_features_is_an_error(table):
    constant = table.assign(label="low", size=1.0)
    for target in ("label", "size"):
        with pytest.raises(ValueError, match=f"target '{target}' is constant in train"):
            compare_tables({"x": table}, constant, table, target=target)
    with pytest.raises(ValueError, match="target 'size' is constant in test"):
        compare_tables({"x": table}, table, constant, target="size")
    with pytest.raises(ValueError, match="must have at least two columns; got only 'size'"):
        compare_tables({"x": table[["size"]]}, table[["size"]], table[["size"]], target="size")
    with pytest.raises(ValueError, match="at least one table"):
        compare_tables({}, table, table, target="label")


@pytest.mark.usefixtures("few_trees")
@pytest.mark.parametrize("value", [None, np.nan, pd.NA])
def test_columns_without_known_values_are_compared(table, value):
    table = table[:60].assign(none="x")
    empty = table.assign(size=np.nan, none=value)
    for synthetic, train in ((empty, empty), (table, table), (empty, table)):
        comparison = compare_tables({"x": synthetic}, train, train, target="label")
        assert comparison.notna().all(axis=None)


def test_a_comparison_without_target_has_the_other_metrics(table):
    synthetic, test = table.sample(frac=1.0, replace=True, random_state=0), table[::2]
    arguments = {"tables": {"x": synthetic}, "train": table, "test": test, "random_state": 0}
    with_target = compare_tables(**arguments, target="label").loc["x"]
    found = compare_tables(**arguments).loc["x"]
    names = ["column_distance", "association_error", "closer_to_training"]
    assert found.index.tolist() == [*names, "mean"]
    pd.testing.assert_series_equal(found[names], with_target[names])
    distance, error, closer = found[names]
    assert found["mean"] == pytest.approx(1 - (distance + error + 2 * abs(closer - 0.5)) / 3)


def test_other_columns_and_an_unknown_target_are_errors(table):
    with pytest.raises(ValueError, match=r"columns as train; table 'odd' lacks \['size'\]"):
        compare_tables({"odd": table.drop(columns="size")}, table, table, target="label")
    with pytest.raises(ValueError, match=r"target must be a column of train, .* got 'income'"):
        compare_tables({"real": table}, table, table, target="income")


def test_errors_keep_the_names_of_columns_that_look_like_the_name_of_a_table():
    table = pd.DataFrame({"sum of X values": [1j, 2j]})
    with pytest.raises(TypeError, match="Column 'sum of X values' of real can't be used: it has c"):
        column_distances(table, table)
