"""Columns of any dtype, read as the column of the real table."""

import datetime as dt
import io
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from helpers_dtypes import to_polars

from skvae.columns import infer_kind, read_table
from skvae.metrics import associations, column_distances
from skvae.metrics._frames import TableReader

N = 40
TEXT = {"period", "quarter", "interval", "mixed"}  # not known to polars and Arrow


def columns():
    days = pd.date_range("2020-10-20", periods=N)
    hours = np.arange(N)
    return {
        "bool": pd.Series([True, False] * 20),
        "int": pd.Series(hours % 7),
        "float": pd.Series(hours / 64),
        "float32": pd.Series(np.linspace(0, 1, N, dtype="f4")),
        "complex text": pd.Series(["a,b", '"', "=", " 7"] * 10),
        "category of int": pd.Series(pd.Categorical([1, 2, 3, 4] * 10)),
        "category of float": pd.Series(pd.Categorical([1.0, 2.5] * 20)),
        "category of bool": pd.Series(pd.Categorical([True, False] * 20)),
        "category of text": pd.Series(pd.Categorical(["a", "b"] * 20, ordered=True)),
        "category of datetime": pd.Series(pd.Categorical(days[:4].repeat(10))),
        "string": pd.Series(["x", "007"] * 20, dtype="string"),
        "digits": pd.Series(["007", "010"] * 20),
        "datetime": pd.Series(days),
        "zoned": pd.Series(pd.date_range("2020-10-20", periods=N, freq="7h", tz="Europe/Berlin")),
        "duration": pd.Series(pd.to_timedelta(hours, unit="h") - pd.Timedelta("1D")),
        "decimal": pd.Series([Decimal(k) / 8 for k in range(N)]),
        "date": pd.Series([dt.date(1066, 1, 1) + dt.timedelta(k) for k in range(N)]),
        "time": pd.Series([dt.time(k % 24) for k in range(N)]),
        "period": pd.Series(pd.period_range("2020-01", periods=N, freq="M")),
        "quarter": pd.Series(pd.period_range("2020Q1", periods=N, freq="Q")),
        "interval": pd.Series(pd.cut(hours, 4)),
        "mixed": pd.Series([1, "a"] * 20, dtype=object),
        "object of bool": pd.Series([True, False] * 20, dtype=object),
        "object of int": pd.Series([1, 2] * 20, dtype=object),
        "sparse": pd.Series(pd.arrays.SparseArray([0.0, 1.0] * 20)),
        "sparse bool": pd.Series(pd.arrays.SparseArray([False, True] * 20)),
    }


def versions(column):
    """Yield tables of the same values with other dtypes, as other programs return them."""
    name = column.name
    table = column.to_frame()
    text = table.to_csv(index=False)
    yield "csv", pd.read_csv(io.StringIO(text))
    yield "csv as text", pd.read_csv(io.StringIO(text), dtype=str)
    yield "shuffled", table.sample(frac=1, random_state=0).set_axis([0] * len(table))
    yield "object", table.astype(object)
    if not name.startswith("sparse"):
        yield "category", table.astype("category")
        yield "nullable", table.convert_dtypes()
        yield "Arrow dtypes", table.convert_dtypes(dtype_backend="pyarrow")
    if name not in TEXT | {"sparse", "sparse bool"}:
        yield "polars", to_polars(table)
        yield "Arrow", pa.Table.from_pandas(table)


@pytest.mark.parametrize("is_incomplete", [False, True], ids=["complete", "incomplete"])
@pytest.mark.parametrize("name", columns())
def test_equal_values_have_distance_0_whatever_the_dtypes(name, is_incomplete):
    column = columns()[name].rename(name)
    if is_incomplete and not name.startswith("sparse"):
        column = column.astype("boolean" if name == "bool" else column.dtype).where(
            np.arange(N) % 5 > 0
        )
    real = column.to_frame()
    for version, table in versions(column):
        assert column_distances(real, table)[name] == 0, version
        if name != "float32" or version != "csv as text":  # text of float32 is not text of float64
            assert column_distances(table, real)[name] == 0, version
        assert associations(table).loc[name, name] == 1


@pytest.mark.parametrize("name", columns())
def test_columns_are_numeric_as_for_estimators(name):
    table = columns()[name].to_frame()
    is_numeric = infer_kind(read_table(table).frame.iloc[:, 0]) == "numeric"
    assert TableReader(table, "real").is_numeric == [is_numeric]


def test_other_values_have_the_distance_of_the_real_dtype():
    real = pd.DataFrame({"n": [1, 2, 3, 4], "c": pd.Categorical([1, 2, 3, 4])})
    other = pd.DataFrame({"n": ["1", "2.5", "2", " 9 "], "c": [1.0, 2.0, 2.0, 9.0]})
    assert column_distances(real, other).to_list() == [0.25, 0.5]


@pytest.mark.parametrize(
    ("real", "other", "distance"),
    [
        (["1", "01"], [1, 1], 0.5),  # ambiguous except for the same text
        (["7", "8"], ["07", "08"], 1),  # text is compared as text
        (["True", "no"], [True, True], 0.5),
        ([0.1, 0.2], np.array([0.1, 0.2], dtype="f4"), 0),
        (np.array([0.1, 1e-3], dtype="f2"), [0.1, 1e-3], 0),
        (np.array([0.1, 1e-3], dtype="f2"), [0.1, 1e6], 0.5),
        ([[1, 2], [3]], [[1, 2], [1, 2]], 0.5),
    ],
)
def test_how_values_of_other_dtypes_are_matched(real, other, distance):
    real, other = (pd.DataFrame({"x": pd.Series(list(v))}) for v in (real, other))
    if isinstance(distance, float) and real["x"].dtype == float:
        real["x"] = real["x"].astype("f2")
    assert column_distances(real, other)["x"] == distance


def test_nat_is_missing_and_no_number():
    for dtype in ("datetime64[ns]", "timedelta64[ns]", "object"):
        times = pd.Series([pd.NaT, pd.NaT, 10**15, 2 * 10**15]).astype(dtype)
        if dtype == "object":
            times = pd.Series([pd.NaT, pd.NaT, dt.date(2020, 1, 1), dt.date(2021, 1, 1)])
        real, known = times.to_frame("t"), times.iloc[2:].to_frame("t")
        assert column_distances(real, known)["t"] == 0.5
        assert column_distances(known, real)["t"] == 0.5


DAY = pd.Timestamp("2020-01-01")


@pytest.mark.parametrize(
    ("real", "value", "message"),
    [
        (1.5, "abc", "'abc' in row 1, which is not a number"),
        (1.5, "1_000", "'1_000' in row 1, which is not a number"),
        (1, DAY, r"Timestamp\(.*\) in row 1, which is not a number"),
        (1, "inf", "'inf' in row 1, which is not finite"),
        (1, "1" + 400 * "0", "in row 1, which is not finite"),
        (1, Decimal("-Infinity"), r"Decimal\('-Infinity'\) in row 1, which is not finite"),
        (1, 2**53 + 1, "9007199254740993 in row 1, which float64 cannot represent exactly"),
        (1, str(2**53 + 1), "'9007199254740993' in row 1, which float64 cannot represent"),
        (True, 2, "2 in row 1, which is not a boolean"),
        (True, "maybe", "'maybe' in row 1, which is not a boolean"),
        (DAY, 5, "5 in row 1, which is not a datetime.*pandas.to_datetime"),
        (DAY, "now", "'now' in row 1, which is not a datetime in the format of ISO 8601"),
        (DAY, "01/02/2020", "'01/02/2020' in row 1, which is not a datetime in the format"),
        (DAY, DAY.tz_localize("UTC"), "has a time zone, while the real column has no time zone"),
        (DAY, "2020-01-01 00:00:00+01:00", "has a time zone, while the real column has no"),
        (DAY.tz_localize("UTC"), DAY, "has no time zone, while the real column has the time zone"),
        (DAY.tz_localize("UTC"), "2020-01-01", "has no time zone, while the real column has"),
        (pd.Timedelta("1D"), 5, "5 in row 1, which is not a duration.*pandas.to_timedelta"),
        (pd.Timedelta("1D"), "5", "'5' in row 1, which is not a duration"),
        (pd.Period("2020-01", "M"), "x", "'x' in row 1, which is not a datetime"),
    ],
)
def test_a_value_that_cannot_be_read_as_the_real_column_is_named(real, value, message):
    table = pd.DataFrame({"x": pd.Series([None, value], dtype=object)})
    with pytest.raises(ValueError, match=rf"Column 'x' of synthetic .*{message}"):
        column_distances(pd.DataFrame({"x": [real]}), table)


@pytest.mark.parametrize("zones", [(None, "UTC"), ("UTC", None)])
def test_columns_with_and_without_time_zone_do_not_mix(zones):
    real, other = (pd.DataFrame({"t": [DAY.tz_localize(zone)]}) for zone in zones)
    with pytest.raises(ValueError, match=r"Column 't' of synthetic .* time zone, while the real"):
        column_distances(real, other)


def test_datetimes_of_different_zones_are_compared_as_instants():
    berlin = pd.DataFrame({"t": pd.date_range("2020", periods=9, tz="Europe/Berlin")})
    utc = berlin.assign(t=berlin["t"].dt.tz_convert("UTC"))
    assert column_distances(berlin, utc)["t"] == column_distances(utc, berlin)["t"] == 0


def test_integers_that_float64_rounds_and_complex_numbers_are_errors_that_name_the_table():
    ids = pd.DataFrame({"id": [2**53, 2**53 + 1]})
    for dtype in ("int64", "Int64", "uint64", "int64[pyarrow]", object):
        with pytest.raises(ValueError, match=r"Column 'id' of table .*993 in row 1.*to strings"):
            associations(ids.astype(dtype))
    assert column_distances(ids.astype(str), ids)["id"] == 0
    with pytest.raises(
        TypeError, match="Column 'z' of table can't be used: it has complex numbers"
    ):
        associations(pd.DataFrame({"z": [1j, 2]}))
