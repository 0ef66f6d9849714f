"""Arrays hold the exact values of Arrow tables, or the value is an error."""

import os
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
import pyarrow.feather
import pyarrow.parquet
import pytest
from numpy.testing import assert_array_equal

from skvae.datasets import memmap_from_arrow

WRITERS = {
    "parquet": pa.parquet.write_table,
    "feather": pa.feather.write_feather,
    "csv": pa.csv.write_csv,
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "X.npy"


BIG = 2**53 + 1


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "int64", "uint8", "uint64"])
@pytest.mark.parametrize(
    "column",
    [
        pd.Series([1, 2, 3], dtype="int8"),
        pd.Series([1, 2, 3], dtype="uint64"),
        pd.Series([1, 2, 3], dtype="Int64"),
        pd.Series([1, 2, 3], dtype="float16"),
        pd.Series([1, 2, 3], dtype="float64"),
        pd.Series([1, 2, 3], dtype="Float32"),
        pd.Series([True, False, True]),
        pd.Series([True, False, True], dtype="boolean"),
        pd.Series([1, 2, 1], dtype="int64[pyarrow]"),
        pd.Series(pd.Categorical([4, 5, 4])),
        pd.Series([Decimal("4.00"), Decimal("-0"), Decimal("9")]),
        pd.Series([4, 5, 6], dtype=pd.ArrowDtype(pa.decimal128(20, 3))),
    ],
)
def test_the_array_equals_that_of_pandas(column, dtype, tmp_path, path):
    frame = pd.DataFrame({"v": column})
    expected = frame.astype({"v": object}).to_numpy(dtype)
    assert_array_equal(memmap_from_arrow(frame, path, dtype=dtype), expected)
    frame.to_parquet(tmp_path / "data.parquet")
    X = memmap_from_arrow(tmp_path / "data.parquet", path, dtype=dtype, overwrite=True)
    assert_array_equal(X, expected)
    assert X.dtype == dtype


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fractions_and_missing_values_equal_those_of_pandas(dtype, path):
    frame = pd.DataFrame(
        {
            "decimal": [Decimal("0.1"), None, Decimal("123456789012.3456789")],
            "small": [Decimal("1E-7"), Decimal("-0.3"), Decimal("0")],
            "Int64": pd.array([2**53, None, -(2**53)], dtype="Int64"),
            "Float64": pd.array([0.1, None, 1e30], dtype="Float64"),
            "boolean": pd.array([True, None, False], dtype="boolean"),
            "float": [np.nan, 0.1, -1e-40],
            "category": pd.Categorical([0.5, None, 2.5]),
            "none": [None] * 3,
        }
    )
    X = memmap_from_arrow(frame, path, dtype=dtype, allow_missing=True)
    expected = [[np.nan if pd.isna(v) else float(v) for v in frame[name]] for name in frame]
    assert_array_equal(X, np.transpose(expected).astype(dtype))


@pytest.mark.parametrize(
    ("values", "type", "dtype", "message"),
    [
        ([0, BIG], pa.int64(), "float64", rf"value {BIG} in row 1.*float64 cannot .*identifiers"),
        ([0, -BIG], pa.int64(), "float32", rf"value -{BIG} in row 1.*dtype='int64'"),
        ([0, 2**63 - 1], pa.int64(), "float64", rf"value {2**63 - 1} in row 1"),
        ([0, 2**64 - 1], pa.uint64(), "float64", rf"value {2**64 - 1} in row 1"),
        ([0, 2**63 + 1], pa.uint64(), "float32", rf"value {2**63 + 1} in row 1"),
        (
            [0, 2**63],
            pa.uint64(),
            "int64",
            rf"value {2**63} in row 1.*int64 cannot.*dtype='uint64'",
        ),
        ([0, 2**31], pa.int64(), "int32", rf"value {2**31} in row 1.*int32 cannot.*dtype='int64'"),
        ([0, -1], pa.int8(), "uint64", r"value -1 in row 1.*uint64 cannot.*dtype='int64'"),
        ([0, 2.0**64], pa.float64(), "uint64", r"value 1.8.*e\+19 in row 1.*'float64'"),
        ([0, 2.0**63], pa.float32(), "int64", r"value 9.2.*e\+18 in row 1.*'float64'"),
        ([0, -(2.0**64)], pa.float64(), "int64", r"value -1.8.*e\+19 in row 1"),
        ([0, np.inf], pa.float64(), "int64", "value inf in row 1.*finite values only"),
        ([0, 0.5], pa.float16(), "int8", "value 0.5 in row 1.*'float64'"),
        ([0, np.nan], pa.float64(), "int64", "a missing value in row 1"),
        ([0, None], pa.int64(), "int64", "a missing value in row 1.*dtype='float64', to write"),
        ([0, 70000], pa.int64(), "float16", "value 70000 in row 1.*'int64'"),
        (["0", "0.5"], pa.decimal128(38, 20), "int64", r"value 0.50* in row 1.*'float64'"),
        (["0", "1.00000000000000000001"], pa.decimal128(38, 20), "int64", "value 1.00*1 in row 1"),
        (["0", str(BIG)], pa.decimal128(38, 2), "float64", rf"value {BIG}.00 in row 1"),
        (["0", str(2**63)], pa.decimal256(60, 2), "int64", rf"value {2**63}.00 in row 1"),
        (["0", "-1"], pa.decimal128(5, 2), "uint8", "value -1.00 in row 1"),
        (["0", "256"], pa.decimal128(5, 2), "uint8", "value 256.00 in row 1"),
        (["0", "2"], pa.decimal128(5, 2), "bool", "value 2.00 in row 1"),
    ],
)
@pytest.mark.parametrize("encode", [False, True])
def test_a_value_that_would_change_is_an_error(values, type, dtype, message, encode, path):
    if pa.types.is_decimal(type):
        values = [Decimal(value) for value in values]
    if type == pa.float16():
        values = np.array(values, np.float16)
    column = pa.array(values, type)
    if encode:
        if type in (pa.float16(), pa.decimal256(60, 2)):
            pytest.skip("pyarrow cannot encode this type")
        column = column.dictionary_encode()
    path.write_bytes(b"precious")
    with pytest.raises(ValueError, match=f"Column 'v' has (the )?{message}"):
        memmap_from_arrow(pa.table({"v": column}), path, dtype=dtype, overwrite=True)
    assert path.read_bytes() == b"precious"
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize(
    ("values", "type", "dtype"),
    [
        ([BIG, 2**63 - 1, -(2**63)], pa.int64(), "int64"),
        ([2**64 - 1, 2**53 + 3], pa.uint64(), "uint64"),
        ([2**62, -(2**63)], pa.int64(), "float64"),
        ([BIG, 2**64 - 1], pa.decimal128(38, 5), "uint64"),
        ([BIG, -(2**63)], pa.decimal128(38, 5), "int64"),
        ([BIG], pa.int64(), "longdouble"),
    ],
)
def test_large_exact_values_are_written(values, type, dtype, path):
    if dtype == "longdouble" and np.finfo(dtype).nmant < 63:
        pytest.skip("longdouble is float64")
    if pa.types.is_decimal(type):
        values = [Decimal(value) for value in values]
    X = memmap_from_arrow(pa.table({"v": pa.array(values, type)}), path, dtype=dtype)
    assert [int(x) for x in X[:, 0]] == values


def test_a_missing_value_does_not_round_the_integers_of_a_batch(path):
    table = pa.table({"v": pa.array([None, BIG])})
    with pytest.raises(ValueError, match=f"value {BIG} in row 1"):
        memmap_from_arrow(table, path, dtype="float64", allow_missing=True)


MIXED = [
    ([BIG], [0.5], "float64", f"value {BIG} in row 0.*1"),
    ([0.5], [BIG], "float64", f"value {BIG} in row [01].*2"),
    ([1], [0.5], "int64", "value 0.5 in row [01].*2|truncated"),
    ([Decimal("1.5")], [1], "int64", "value 1.5 in row 0.*1|data loss"),
    ([True], [2], "bool", "value 2 in row 1"),
]


@pytest.mark.parametrize(("first", "second", "dtype", "message"), MIXED)
@pytest.mark.parametrize("suffix", ["parquet", "feather", "csv"])
def test_files_of_mixed_types_are_exact(first, second, dtype, message, suffix, tmp_path, path):
    if suffix == "csv" and dtype != "float64":
        pytest.skip("types of CSV files are inferred")
    for name, values in {"1": first, "2": second}.items():
        WRITERS[suffix](pa.table({"v": values}), tmp_path / f"{name}.{suffix}")
    with pytest.raises(ValueError, match=rf"(?s)Column 'v' has the ({message}).*\.{suffix}"):
        memmap_from_arrow(tmp_path, path, dtype=dtype)
    assert not path.exists()


@pytest.mark.parametrize(("first", "second", "dtype"), [case[:3] for case in MIXED[:3]])
def test_datasets_of_mixed_types_are_exact_or_an_error_that_names_the_file(
    first, second, dtype, tmp_path, path
):
    for name, values in {"1": first, "2": second}.items():
        pa.parquet.write_table(pa.table({"v": values}), tmp_path / f"{name}.parquet")
    with pytest.raises(ValueError, match=r"Cannot read .*[12]\.parquet|value .* in row"):
        memmap_from_arrow(pa.dataset.dataset(tmp_path), path, dtype=dtype)
    assert not path.exists()


FIRST_TYPES = [
    ([True], [2.5]),
    ([1], [0.5]),
    (np.ones(1, np.float32), [1e300]),
    ([0.5], [Decimal("0.25")]),
    ([Decimal("0.5")], [1.23456]),
]


@pytest.mark.parametrize(("first", "second"), FIRST_TYPES)
@pytest.mark.parametrize("is_filtered", [False, True])
def test_a_dataset_is_never_cast_to_the_type_of_the_first_file(
    first, second, is_filtered, tmp_path, path
):
    for name, values in {"1": first, "2": second}.items():
        pa.parquet.write_table(pa.table({"v": values}), tmp_path / f"{name}.parquet")
    dataset = pa.dataset.dataset(tmp_path)
    if is_filtered:
        with pytest.raises(ValueError, match=r"'v' is .* in .*2\.parquet|Cannot read|value inf in"):
            memmap_from_arrow(dataset.filter(pa.dataset.field("v").is_valid()), path)
        return
    X = memmap_from_arrow(dataset, path, dtype="float64")
    assert X.ravel().tolist() == [float(value) for value in (*first, *second)]


@pytest.mark.parametrize("is_filtered", [False, True])
def test_durations_in_a_later_file_of_a_dataset_are_no_numbers(is_filtered, tmp_path, path):
    for name, values in {"1": [1], "2": [timedelta(1)]}.items():
        pa.parquet.write_table(pa.table({"v": values}), tmp_path / f"{name}.parquet")
    dataset = pa.dataset.dataset(tmp_path)
    dataset = dataset.filter(pa.dataset.field("v").is_valid()) if is_filtered else dataset
    with pytest.raises(ValueError, match=r"'v' is duration\[us\] in .*2\.parquet, but int64"):
        memmap_from_arrow(dataset, path)


@pytest.mark.parametrize(
    ("number", "dtype", "remedy"),
    [
        (str(BIG), "float64", "pass dtype='int64'"),
        (f"{BIG}.5", "float64", "convert the column to float64"),
        (f"{BIG}.5", "int64", "convert the column to float64"),
        (f"1{'0' * 30}", "uint64", "convert the column to float64"),
        ("1.5", "int64", "pass dtype='float64'"),
    ],
)
def test_the_remedy_for_a_decimal_works(number, dtype, remedy, path):
    column = pa.array([Decimal(number)])
    with pytest.raises(ValueError, match=remedy):
        memmap_from_arrow(pa.table({"v": column}), path, dtype=dtype)
    if "convert" in remedy:
        memmap_from_arrow(pa.table({"v": column.cast("float64")}), path, dtype="float64")
    else:
        memmap_from_arrow(pa.table({"v": column}), path, dtype=remedy.split("'")[1])


def test_a_csv_file_in_another_encoding_is_an_error_that_names_the_file(tmp_path, path):
    (tmp_path / "data.csv").write_bytes("é,b\n1,2\n".encode("latin1"))
    with pytest.raises(ValueError, match=r"Cannot read .*data\.csv"):
        memmap_from_arrow(tmp_path / "data.csv", path)


@pytest.mark.parametrize("text", [str(BIG), str(2**64 - 1), f"-{BIG}", " 100000000000000000001"])
@pytest.mark.parametrize("as_dataset", [False, True])
def test_integers_of_a_csv_file_that_float64_rounds_are_an_error(text, as_dataset, tmp_path, path):
    file = tmp_path / "data.csv"
    file.write_text(f"w,v\n0.5,1\n0.5,{text}\n")
    source = pa.dataset.dataset(file, format="csv") if as_dataset else file
    with pytest.raises(ValueError, match=rf"'v' has the value {text.strip()} in row 1.*data\.csv"):
        memmap_from_arrow(source, path, dtype="float64")
    file.write_text(f"w,v\n0.5,1e300\n0.5,{2**60}\n")
    X = memmap_from_arrow(file, path, dtype="float64")
    assert X[:, 1].tolist() == [1e300, 2**60]


@pytest.mark.parametrize("suffix", ["parquet", "feather", "csv"])
@pytest.mark.parametrize("content", [b"", b"abc", b"a,b\n1,2\n3\n"])
def test_a_damaged_file_is_an_error_that_names_the_file(suffix, content, tmp_path, path):
    file = tmp_path / f"data.{suffix}"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=rf"Cannot read .*data\.{suffix}|no rows"):
        memmap_from_arrow(file, path)
    pa.parquet.write_table(pa.table({"a": [1, 2]}), tmp_path / "b.parquet")
    whole = (tmp_path / "b.parquet").read_bytes()
    (tmp_path / "b.parquet").write_bytes(whole[:30] + b"\xff" * 20 + whole[50:])
    with pytest.raises(ValueError, match=r"Cannot read .*b\.parquet"):
        memmap_from_arrow(tmp_path / "b.parquet", path)
    assert not path.exists()


@pytest.mark.parametrize(
    "source", [pd.Series([1.0]), pl.Series([1.0]), pa.chunked_array([[1.0]])], ids=str
)
def test_a_column_without_a_table_is_an_error(source, path):
    with pytest.raises(TypeError, match=r"source must (have named columns|be a path)"):
        memmap_from_arrow(source, path)


def test_a_path_that_cannot_be_written_is_an_error(tmp_path):
    table = pa.table({"v": [1]})
    with pytest.raises(OSError, match=r"path of a file to write, but .* is a folder"):
        memmap_from_arrow(table, tmp_path, overwrite=True)
    with pytest.raises(OSError, match=r"the folder .*nowhere is missing"):
        memmap_from_arrow(table, tmp_path / "nowhere" / "X.npy")


def test_a_source_file_is_not_overwritten(tmp_path):
    file = tmp_path / "data.parquet"
    pa.parquet.write_table(pa.table({"v": [1]}), file)
    before = file.read_bytes()
    for source in (file, tmp_path, pa.dataset.dataset(file)):
        with pytest.raises(ValueError, match=r"data\.parquet is one of the files to read"):
            memmap_from_arrow(source, file, overwrite=True)
    assert file.read_bytes() == before
