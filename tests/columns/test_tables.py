"""Tables of any library as data frames in plain dtypes, and back."""

import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from skvae.columns import read_table


def test_data_frames_in_plain_dtypes_are_not_copied():
    frame = pd.DataFrame({"a": [1, 2]})
    assert read_table(frame).frame is frame


def test_arrays_have_column_numbers_as_names():
    frame = read_table(np.array([[1.5, np.nan], [2, 3]])).frame
    assert list(frame.columns) == [0, 1]
    assert frame.isna().to_numpy().tolist() == [[False, True], [False, False]]


@pytest.mark.parametrize("shape", [(0, 2), (2, 0), (0, 0)])
def test_empty_data_frames_are_an_error(shape):
    with pytest.raises(ValueError, match="at least one row and one column"):
        read_table(pd.DataFrame(np.zeros(shape)))


def test_duplicate_column_names_are_an_error():
    with pytest.raises(ValueError, match=r"Names of columns must differ; got \['a', 'a'\]"):
        read_table(pd.DataFrame(np.zeros((2, 2)), columns=["a", "a"]))


# ---- Arrow ---------------------------------------------------------------------------------------


class ArrayOnly:
    """Columns with the interface of arrays of Arrow, and nothing else."""

    def __init__(self, columns):
        self._columns = columns

    def __arrow_c_array__(self, requested_schema=None):
        return self._columns.__arrow_c_array__(requested_schema)


@pytest.mark.parametrize("wrap", [lambda batch: batch, ArrayOnly])
def test_record_batches_are_tables(wrap):
    table = read_table(wrap(pa.record_batch({"a": [1, 2], "b": ["x", "y"]})))
    assert table.frame.to_dict("list") == {"a": [1, 2], "b": ["x", "y"]}


def test_single_columns_of_arrow_are_an_error():
    with pytest.raises(TypeError, match="X is a ChunkedArray that is no table of columns"):
        read_table(pa.chunked_array([[1, 2]]))


@pytest.mark.parametrize("metadata", ["{", "[]", "{}", '{"index_columns": null}'])
def test_metadata_of_other_programs_is_ignored(metadata):
    table = pa.table({"a": [1, 2]}).replace_schema_metadata({"pandas": metadata})
    assert read_table(table).frame["a"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["a", "b", None], ["a", "b", None]),
        (["a", "b", "a"], ["a", "b", "a"]),
        ([1.5, math.nan, 1.5], [1.5, None, 1.5]),
    ],
)
def test_dictionaries_with_missing_or_duplicate_values_are_read(labels, expected):
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, None]), pa.array(labels))
    other = pa.DictionaryArray.from_arrays(pa.array([1, 0]), pa.array(labels))
    table = pa.table({"c": pa.chunked_array([column, other])})
    values = read_table(table).frame["c"]
    assert isinstance(values.dtype, pd.CategoricalDtype)
    objects = values.astype(object)
    assert objects.where(objects.notna(), None).tolist() == [
        *expected,
        None,
        expected[1],
        expected[0],
    ]


def test_ordered_dictionaries_with_duplicate_values_are_an_error():
    labels = pa.array(["a", "b", "a"])
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2]), labels, ordered=True)
    with pytest.raises(ValueError, match=r"'c'.*ordered dictionary with null, NaN or duplicate"):
        read_table(pa.table({"c": column}))


@pytest.mark.parametrize("dtype", ["Float32", "Float64"])
def test_nan_of_nullable_floats_is_missing(dtype):
    zeros = pd.Series([0, None, 1], dtype=dtype)
    values = read_table(pd.DataFrame({"c": zeros / zeros})).frame["c"]
    assert values.dtype == dtype
    assert values.isna().tolist() == [True, True, False]
