"""Imputed tables with columns without any observed entry in `fit`."""

import datetime
import decimal
import math

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from helpers_dtypes import N, dtypes_of, frame_of, values_of

from skvae import VAEImputer

FAST = {"latent_dim": 2, "hidden_layer_sizes": (8,), "max_iter": 1, "random_state": 0}

EMPTY = {
    "float": pd.Series([math.nan] * N),
    "float32": pd.Series([math.nan] * N, dtype="float32"),
    "Int8": pd.Series([None] * N, dtype="Int8"),
    "string": pd.Series([None] * N, dtype="string"),
    "boolean": pd.Series([None] * N, dtype="boolean"),
    "category": pd.Series(pd.Categorical([None] * N, ["a", "b"])),
    "zoned": pd.Series([None] * N, dtype="datetime64[us, Europe/Paris]"),
    "arrow null": pa.nulls(N),
    "arrow bool": pa.nulls(N, pa.bool_()),
    "arrow date": pa.nulls(N, pa.date32()),
    "arrow decimal": pa.nulls(N, pa.decimal128(5, 2)),
    "arrow dictionary": pa.nulls(N, pa.dictionary(pa.int8(), pa.string())),
    "polars Time": pl.Series([None] * N, dtype=pl.Time),
    "polars Datetime": pl.Series([None] * N, dtype=pl.Datetime("us", "Asia/Tokyo")),
    "polars String": pl.Series([None] * N, dtype=pl.String),
    "polars Enum": pl.Series([None] * N, dtype=pl.Enum(["a", "b"])),
}
MISSING = [
    pd.Series([None], dtype=object),
    pd.Series([math.nan]),
    pd.Series([pd.NaT]),
    pd.Series([None], dtype="Int64"),
    pd.Series([None], dtype="string"),
    pd.Series([None], dtype="category"),
]


def fill_empty(fit, later):
    """Return a column that had no observed entry in `fit`, after imputation of later rows."""
    table = frame_of(fit)
    imputer = VAEImputer(likelihood="mixed", keep_empty_features=True, **FAST).fit(table)
    filled = imputer.transform(pd.DataFrame({"c": later, "x": np.zeros(len(later))}))
    assert dtypes_of(filled) == dtypes_of(table)
    return values_of(filled, "c")


@pytest.mark.parametrize("name", EMPTY)
@pytest.mark.parametrize("later", MISSING, ids=lambda later: str(later.dtype))
def test_empty_columns_keep_their_dtype_whatever_is_missing_later(name, later):
    filled = fill_empty(EMPTY[name], later)
    assert filled == [0] if name in ("float", "float32", "Int8") else pd.isna(filled).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("float", 2.5),
        ("float32", 0.5),
        ("Int8", 5),
        ("string", "a"),
        ("category", "b"),
        ("arrow bool", True),
        ("arrow date", datetime.date(2020, 1, 1)),
        ("arrow decimal", decimal.Decimal("1.50")),
        ("polars String", "a"),
        ("polars Enum", "b"),
    ],
)
def test_empty_columns_keep_later_values(name, value):
    assert fill_empty(EMPTY[name], pd.Series([value], dtype=object)) == [value]


def test_empty_columns_round_later_numbers_to_their_precision():
    assert fill_empty(EMPTY["float32"], pd.Series([0.1])) == [np.float32(0.1)]
    assert fill_empty(EMPTY["float"], pd.Series([decimal.Decimal("0.1")])) == [0.1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("Int8", 300), ("Int8", 2.5), ("string", 5), ("boolean", 5), ("category", "new")],
        *[("zoned", 5), ("zoned", pd.Timestamp("2020-01-01")), ("float", "a")],
        *[("arrow null", 5), ("arrow bool", 5), ("arrow date", pd.Timestamp("2020-01-01 12:00"))],
        *[("arrow decimal", decimal.Decimal("0.125")), ("arrow dictionary", "new")],
        *[("polars Time", 5), ("polars Datetime", 5), ("polars String", b"a")],
        *[("polars Enum", "new"), ("polars String", 5)],
    ],
)
def test_values_that_an_empty_column_cannot_express_are_an_error(name, value):
    with pytest.raises(ValueError, match=r"Column 'c' of X can't .* in row 0, which the dtype"):
        fill_empty(EMPTY[name], pd.Series([value]))


@pytest.mark.parametrize("dtypes", [["int64"], []])
def test_dtypes_of_empty_columns_in_files_are_checked(dtypes, tmp_path):
    imputer = VAEImputer(likelihood="mixed", **FAST).fit(frame_of(EMPTY["zoned"]))
    imputer.save(tmp_path / "model")
    imputer._reader.empty_dtypes = dtypes
    with pytest.raises((TypeError, ValueError), match="do not agree"):
        imputer.save(tmp_path / "other")
