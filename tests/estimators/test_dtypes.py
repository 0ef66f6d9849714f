"""Every dtype of pandas, Arrow and polars: what comes back is what came in, or `fit` refuses it."""

import copy
import math
import pickle
from functools import cache

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from helpers_dtypes import (
    ARROW,
    HOLES,
    NOT_SAVED,
    NUMBERS,
    PANDAS,
    POLARS,
    REFUSED,
    TABLES,
    N,
    dtypes_of,
    frame_of,
    values_of,
    with_holes,
)

import skvae
from skvae import TabularVAE, VAEImputer, VAEOutlierDetector, VAETransformer
from skvae.displays import SyntheticTableDisplay
from skvae.metrics import associations, column_distances

FAST = {"latent_dim": 2, "hidden_layer_sizes": (8,), "max_iter": 1, "random_state": 0}
every_column = pytest.mark.parametrize(
    ("library", "name"),
    [
        *(("pandas", name) for name in PANDAS),
        *(("pyarrow", name) for name in ARROW),
        *(("polars", name) for name in POLARS),
    ],
)


@cache
def table_of(library):
    return TABLES[library]()


@cache
def model_of(library):
    return TabularVAE(**FAST).fit(table_of(library))


@cache
def sample_of(library):
    return model_of(library).sample(100, random_state=0)


@cache
def reconstruction_of(library):
    return model_of(library).reconstruct(table_of(library))


@cache
def imputed(library):
    table = table_of(library)
    return VAEImputer(likelihood="mixed", **FAST).fit(table).transform(with_holes(table))


@every_column
def test_samples_have_the_dtype_and_the_values_of_fit(library, name):
    table, new = table_of(library), sample_of(library)
    assert type(new) is type(table)
    assert dtypes_of(new)[name] == dtypes_of(table)[name]
    known = values_of(table, name)
    is_number = {type(value) for value in known} <= {int, float}
    for value in values_of(new, name):
        assert type(value) is type(known[0]) or value in known
        assert min(known) <= value <= max(known) if is_number else value is not None


@every_column
def test_reconstructions_have_the_dtype_of_fit(library, name):
    table = table_of(library)
    assert dtypes_of(reconstruction_of(library))[name] == dtypes_of(table)[name]


@every_column
def test_imputed_columns_have_the_dtype_of_fit_and_the_observed_values(library, name):
    table, filled = table_of(library), imputed(library)
    assert type(filled) is type(table)
    assert dtypes_of(filled)[name] == dtypes_of(table)[name]
    values = values_of(filled, name)
    observed = np.setdiff1d(np.arange(N), HOLES)
    assert [values[i] for i in observed] == [values_of(table, name)[i] for i in observed]
    assert not any(value is None or value != value for value in values)


@pytest.mark.parametrize("library", TABLES)
def test_rows_are_imputed_alike_alone_and_in_a_batch(library):
    table = with_holes(table_of(library))
    imputer = VAEImputer(likelihood="mixed", **FAST).fit(table_of(library))
    for i in (0, HOLES[0]):
        row = table.iloc[i : i + 1] if library == "pandas" else table.slice(i, 1)
        alone = imputer.transform(row)
        assert dtypes_of(alone) == dtypes_of(imputed(library))
        for name in dtypes_of(alone):
            assert values_of(alone, name)[0] == values_of(imputed(library), name)[i]


@pytest.mark.parametrize("library", TABLES)
@pytest.mark.parametrize("how", ["pickle", "deepcopy", "save"])
def test_models_of_all_dtypes_survive(library, how, tmp_path):
    model = model_of(library)
    if how == "save":
        model.save(tmp_path / "model")
        again = skvae.load(tmp_path / "model")
    else:
        again = copy.deepcopy(model) if how == "deepcopy" else pickle.loads(pickle.dumps(model))
    new = again.sample(100, random_state=0)
    assert dtypes_of(new) == dtypes_of(sample_of(library))
    for name in dtypes_of(new):
        assert values_of(new, name) == values_of(sample_of(library), name)
    assert again.score(table_of(library)) == model.score(table_of(library))


@pytest.mark.parametrize("name", NOT_SAVED)
def test_objects_that_files_do_not_support_survive_pickles(name, tmp_path):
    model = TabularVAE(**FAST).fit(frame_of(NOT_SAVED[name]))
    again = pickle.loads(pickle.dumps(model))
    pd.testing.assert_frame_equal(again.sample(9, random_state=0), model.sample(9, random_state=0))
    with pytest.raises(TypeError, match="cannot be saved"):
        model.save(tmp_path / "model")


@pytest.mark.parametrize("estimator", [TabularVAE(**FAST), VAEImputer(likelihood="mixed", **FAST)])
@pytest.mark.parametrize("name", REFUSED)
def test_other_dtypes_are_refused_with_the_name_of_the_column(estimator, name):
    column, reason = REFUSED[name]
    with pytest.raises((TypeError, ValueError), match=f"(?s)Column 'c' of X can't.*({reason})"):
        estimator.fit(frame_of(column))


# ---- Later rows in another dtype or library -----------------------------------------------------

LATER = {
    "float": lambda x: x.astype({"n": float}),
    "object": lambda x: x.astype(object),
    "nullable": lambda x: x.convert_dtypes(),
    "arrow": lambda x: x.convert_dtypes(dtype_backend="pyarrow"),
    "category": lambda x: x.astype({"n": "category", "c": "category"}),
    "sparse": lambda x: x.astype({"n": pd.SparseDtype(int)}),
    "polars": pl.from_pandas,
    "Arrow": lambda x: pa.Table.from_pandas(x.sample(frac=1, random_state=0)).take(
        pa.array(np.argsort(x.sample(frac=1, random_state=0).index.to_numpy()))
    ),
}


def training_frame():
    return pd.DataFrame(
        {
            "n": NUMBERS,
            "c": [f"c{k}" for k in NUMBERS],
            "b": NUMBERS > 2,
            "t": pd.Timestamp("2024-01-01") + pd.to_timedelta(NUMBERS, unit="h"),
        }
    )


@pytest.mark.parametrize("later", LATER)
def test_later_rows_may_have_another_dtype_or_library(later):
    train = training_frame()
    rows = LATER[later](train)
    model = TabularVAE(**FAST).fit(train)
    np.testing.assert_array_equal(model.score_samples(rows), model.score_samples(train))
    imputer = VAEImputer(likelihood="mixed", **FAST).fit(train)
    pd.testing.assert_frame_equal(imputer.transform(rows), train)


@pytest.mark.parametrize("later", [name for name in LATER if name != "category"])
def test_models_of_another_dtype_or_library_are_the_same(later):
    train = training_frame()
    model, other = TabularVAE(**FAST).fit(train), TabularVAE(**FAST).fit(LATER[later](train))
    np.testing.assert_array_equal(model.score_samples(train), other.score_samples(train))


def test_the_dtype_does_not_depend_on_the_other_rows_of_the_batch():
    train = training_frame()
    imputer = VAEImputer(likelihood="mixed", **FAST).fit(train)
    holes = train.astype({"n": float, "b": object})
    holes.loc[[0, 3], ["n", "b"]] = None
    expected = imputer.transform(holes)
    assert expected.dtypes.tolist() == train.dtypes.tolist()
    rows = [imputer.transform(holes.iloc[i : i + 1]) for i in range(N)]
    pd.testing.assert_frame_equal(pd.concat(rows), expected)


@pytest.mark.parametrize(
    ("fit", "later", "message"),
    [
        ([1, 2], [2.5, 1.0], "2.5 in row 0, which the dtype"),
        ([1, 2], ["2", "1"], "should hold numbers, but has '2' of type str in row 0"),
        ([1, 2], pd.to_datetime(["2020", "2021"]), "should hold numbers"),
        (pd.to_datetime(["2020", "2021"]), [5, 6], "should hold datetimes, but has 5"),
        (pd.to_datetime(["2020", "2021"]), ["2020", "2021"], "should hold datetimes"),
        (
            pd.to_datetime(["2020", "2021"]),
            pd.to_datetime(["2020", "2021"]).tz_localize("Asia/Tokyo"),
            "in the time zone Asia/Tokyo, but had datetimes without a time zone in fit",
        ),
        (pd.Categorical(["a", "b"]), ["a", "new"], "'new' in row 1, which the dtype"),
        (["1", "2"], [1, 2], "1 of type int in row 0, but had values such as '1' in fit"),
        ([True, False], ["True", "False"], "'True' of type str in row 0"),
    ],
)
def test_later_values_that_fit_would_not_take_are_an_error(fit, later, message):
    train = pd.DataFrame({"c": pd.Series(fit).repeat(20).reset_index(drop=True)})
    imputer = VAEImputer(likelihood="mixed", **FAST).fit(train)
    with pytest.raises((TypeError, ValueError), match=f"Column 'c' of X can't.*{message}"):
        imputer.transform(pd.DataFrame({"c": later}))


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo"])
def test_answers_have_the_time_zone_of_fit(zone):
    times = pd.date_range("2024-01-01", periods=N, freq="7h", tz=zone)
    train = pd.DataFrame({"t": times, "x": np.arange(N)})
    imputer = VAEImputer(likelihood="mixed", **FAST).fit(train)
    for other in ("UTC", "Europe/Paris"):
        later = train.assign(t=train["t"].dt.tz_convert(other))
        pd.testing.assert_frame_equal(imputer.transform(later), train)


def test_times_without_a_zone_are_interchangeable_with_utc():
    naive = pd.DataFrame({"t": pd.date_range("2024-01-01", periods=N, freq="7h")})
    utc = naive.assign(t=naive["t"].dt.tz_localize("UTC"))
    for train, later in ((naive, utc), (utc, naive)):
        imputer = VAEImputer(likelihood="mixed", **FAST).fit(train)
        pd.testing.assert_frame_equal(imputer.transform(later), train)


# ---- Numbers in disguise ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        pd.Categorical(NUMBERS * 7),
        pd.Categorical([f"{k:03}" for k in NUMBERS], ["000", "001", "002", "003", "004", "999"]),
        [f"{k:03}" for k in NUMBERS],
        pd.array([f"{k:03}" for k in NUMBERS], dtype="string"),
    ],
)
def test_labels_declared_numeric_keep_their_form(values):
    X = pd.DataFrame({"c": values, "x": np.arange(N)})
    new = TabularVAE(column_types={"c": "numeric"}, **FAST).fit(X).sample(300, random_state=0)
    assert new["c"].dtype == X["c"].dtype
    assert set(new["c"]) == set(X["c"])


def test_strings_that_are_no_numbers_cannot_be_numeric():
    X = pd.DataFrame({"c": ["1", "two"] * 20})
    with pytest.raises(ValueError, match=r"Column 'c'.*'two'.*do not declare the column numeric"):
        TabularVAE(column_types={"c": "numeric"}, **FAST).fit(X)


def test_missing_times_are_missing():
    times = pd.Series(pd.date_range("2024-01-01", periods=N))
    X = pd.DataFrame({"t": times.mask(times.index % 5 == 0), "x": np.arange(N)})
    new = TabularVAE(**FAST).fit(X).sample(300, random_state=0)
    assert 0 < new["t"].isna().sum() < 150
    assert new["t"].min() >= times.min()
    array = TabularVAE(**FAST).fit(X[["t"]].to_numpy()).sample(300, random_state=0)
    assert array.dtype == X[["t"]].to_numpy().dtype
    assert np.nanmin(array) >= times.min().to_datetime64()


def test_nanoseconds_are_kept_where_float64_can():
    X = pd.DataFrame({"d": pd.to_timedelta(NUMBERS * 5, unit="ns")})
    new = TabularVAE(**FAST).fit(X).sample(100, random_state=0)
    assert set(new["d"]) <= set(X["d"])


# ---- Frames of other libraries ------------------------------------------------------------------


class ArrowOnly:
    """A table with the interface of Arrow, and nothing else."""

    def __init__(self, table):
        self._table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self._table.__arrow_c_stream__(requested_schema)


class InterchangeOnly:
    """A table with the interface of data frames, and nothing else."""

    def __init__(self, frame):
        self._frame = frame

    def __dataframe__(self, *args, **kwargs):
        return self._frame.__dataframe__(*args, **kwargs)


@pytest.mark.parametrize("wrap", [ArrowOnly, InterchangeOnly])
def test_other_tables_are_read_by_their_interface(wrap):
    table = pa.table({"n": NUMBERS, "c": [f"c{k}" for k in NUMBERS]})
    expected = TabularVAE(**FAST).fit(table)
    model = TabularVAE(**FAST).fit(wrap(table))
    assert model.feature_names_in_.tolist() == ["n", "c"]
    assert model.score(wrap(table)) == expected.score(table)
    new = model.sample(10, random_state=0)
    assert new.equals(expected.sample(10, random_state=0))


def test_a_stored_index_is_no_column():
    frame = training_frame().sample(frac=1, random_state=0)
    table = pa.Table.from_pandas(frame)
    assert "__index_level_0__" in table.column_names
    assert TabularVAE(**FAST).fit(table).feature_names_in_.tolist() == list(frame)


@pytest.mark.parametrize(
    ("make", "remedy"),
    [
        (lambda: pl.LazyFrame({"a": [1, 2]}), r"X.collect\(\)"),
        (lambda: pa.table({"a": [1, 2]}).to_reader(), r"read_all\(\)"),
    ],
)
def test_tables_that_are_not_in_memory_are_an_error(make, remedy):
    with pytest.raises(TypeError, match=f"not in memory: pass the result of .*{remedy}"):
        TabularVAE(**FAST).fit(make())


def test_missing_values_keep_their_form():
    for marker in (None, math.nan, pd.NA):
        X = pd.DataFrame({"c": pd.Series(["a", marker] * 30, dtype=object)})
        new = TabularVAE(**FAST).fit(X).sample(50, random_state=0)
        assert all(value is marker or value == "a" for value in new["c"])
        assert new["c"].isna().any()


def test_lists_are_read_column_by_column():
    rows = [[int(k), f"c{k}", k / 2] for k in NUMBERS]
    model = TabularVAE(**FAST).fit(rows)
    frame = pd.DataFrame(rows)
    assert model.score(rows) == TabularVAE(**FAST).fit(frame).score(frame)
    assert {type(value) for value in model.sample(9, random_state=0)[:, 0]} == {int}


def test_masked_arrays_are_an_error():
    X = np.ma.masked_equal(np.arange(40.0).reshape(20, 2), 3)
    with pytest.raises(TypeError, match="masked array"):
        TabularVAE(**FAST).fit(X)


# ---- Array estimators, metrics and displays -----------------------------------------------------


@cache
def score_of_numbers(estimator, numbers):
    """Return the score of float64 rows, given as bytes."""
    X = np.frombuffer(numbers).reshape(N, 2)
    return estimator(likelihood="gaussian", **FAST).fit(X).score(X)


@pytest.mark.parametrize("estimator", [VAETransformer, VAEOutlierDetector, VAEImputer])
@every_column
def test_array_estimators_read_a_column_as_numbers_or_refuse_it(estimator, library, name):
    column = {"pandas": PANDAS, "pyarrow": ARROW, "polars": POLARS}[library][name]
    X = frame_of(column)
    refusal = ""
    try:
        model = estimator(likelihood="gaussian", **FAST).fit(X)
    except (TypeError, ValueError) as error:
        refusal = str(error)
    if refusal:
        assert "column 'c'" in refusal
        assert "TabularVAE" in refusal or 'likelihood="mixed"' in refusal
        return
    numbers = np.array([float(value) for value in values_of(X, "c")])
    expected = np.column_stack([numbers, np.array(values_of(X, "x"), dtype=float)])
    np.testing.assert_allclose(model.score(X), score_of_numbers(estimator, expected.tobytes()))


@pytest.mark.parametrize("library", TABLES)
def test_metrics_read_all_dtypes(library):
    table, new = table_of(library), sample_of(library)
    assert column_distances(table, table).eq(0).all()
    distances = column_distances(table, new)
    assert distances.index.tolist() == list(dtypes_of(table))
    assert distances.between(0, 1).all()
    matrix = associations(new)
    assert matrix.shape == (len(distances), len(distances))
    assert matrix.to_numpy().min() >= 0


@pytest.mark.parametrize("library", TABLES)
def test_displays_draw_all_dtypes(library):
    table, new = table_of(library), sample_of(library)
    names = list(dtypes_of(table))
    for start in range(0, len(names), 20):
        chunk = names[start : start + 20]
        parts = [t[chunk] if library == "pandas" else t.select(chunk) for t in (table, new)]
        display = SyntheticTableDisplay.from_tables(*parts)
        assert list(display.marginals) == chunk
        plt.close("all")


def test_indicator_columns_have_all_levels_of_the_names():
    names = pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")])
    X = pd.DataFrame(np.arange(40.0).reshape(20, 2), columns=names)
    X.iloc[3, 1] = math.nan
    filled = VAEImputer(likelihood="mixed", add_indicator=True, **FAST).fit_transform(X)
    assert filled.columns.tolist() == [*names, ("missingindicator_x1", "")]
    assert filled["missingindicator_x1"].tolist() == [int(i == 3) for i in range(20)]


def test_data_frames_of_modin_give_the_model_of_pandas_and_return():
    reason = "needs modin, which requires an earlier version of pandas"
    modin = pytest.importorskip("modin.pandas", reason=reason)
    frame = training_frame()
    model = TabularVAE(**FAST).fit(modin.DataFrame(frame))
    assert model.score(frame) == TabularVAE(**FAST).fit(frame).score(frame)
    new = model.sample(10, random_state=0)
    assert isinstance(new, modin.DataFrame)
    assert new.dtypes.tolist() == frame.dtypes.tolist()
