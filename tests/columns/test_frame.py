"""Data frames: names, dtypes, index, filled entries and errors."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from helpers_columns import N, bins_of, codec_of, column, encode
from skvae.columns import FrameCodec, read_table

# ---- FrameCodec ----------------------------------------------------------------------


def test_decoding_preserves_names_order_and_dtypes():
    frame = pd.DataFrame({"b": column("int64"), "a": column("strings"), "c": column("days")})
    codec = FrameCodec(frame, {})
    bin_index = codec.encode(frame)
    assert bin_index.dtype == np.float64
    decoded = codec.decode(bin_index)
    assert list(decoded.columns) == ["b", "a", "c"]
    assert decoded.dtypes.tolist() == frame.dtypes.tolist()
    assert decoded["a"].tolist() == frame["a"].tolist()
    midpoints = codec.decode(bin_index, np.full(bin_index.shape, 0.5))
    pd.testing.assert_frame_equal(decoded, midpoints)


def test_index_of_rows_has_no_effect():
    frame = pd.DataFrame({"a": column("float64", True), "b": column("strings", True)})
    reindexed = frame.set_axis(np.arange(N) % 7, axis=0)
    codec = FrameCodec(reindexed, {})
    assert_array_equal(codec.encode(reindexed), FrameCodec(frame, {}).encode(frame))
    assert codec.decode(codec.encode(reindexed)).index.equals(frame.index)


def test_objects_have_the_kind_of_their_values():
    numbers = pd.Series([1, 2.5, None] * 20, dtype=object)
    assert bins_of(codec_of(numbers)) == bins_of(codec_of(numbers.astype(float)))


def test_estimates_become_possible_values_with_the_dtypes_of_the_columns():
    frame = pd.DataFrame(
        {"integer": [1, 2, 3] * 10, "decimal": [0.1, 0.2, 0.3] * 10, "string": ["u", "v", "v"] * 10}
    )
    codec = FrameCodec(frame, {})
    v = codec.encode(frame)[1, 2]
    actual = codec.from_estimates(np.array([[1.7, 0.2501, v], [2.4, 0.9, v]]))
    expected = pd.DataFrame({"integer": [2, 2], "decimal": [0.3, 0.9], "string": ["v", "v"]})
    pd.testing.assert_frame_equal(actual, expected, check_exact=True)


def test_fill_replaces_missing_entries_only():
    frame = pd.DataFrame({"a": [1.0, np.nan, 3.0], "b": ["u", None, "v"]}, index=[5, 5, 7])
    values = pd.DataFrame({"a": [2.0], "b": ["w"]}, index=[1])
    filled = FrameCodec(frame, {}).fill(frame, frame.isna().to_numpy(), values)
    expected = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": ["u", "w", "v"]}, index=[5, 5, 7])
    pd.testing.assert_frame_equal(filled, expected)
    assert frame.isna().to_numpy().sum() == 2


# ---- Errors --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "invalid",
    [[1.0, np.inf], [-np.inf, 1.0], [[1], [2]], [{}, "a"], [1j, 2j]],
    ids=["infinity", "minus infinity", "lists", "dicts", "complex"],
)
def test_error_in_training_names_the_column(invalid):
    frame = pd.DataFrame({"valid": [1, 2], "invalid": pd.Series(invalid)})
    with pytest.raises((TypeError, ValueError), match="Column 'invalid' of X"):
        FrameCodec(read_table(frame).frame, {})


@pytest.mark.parametrize(
    ("name", "invalid"),
    [
        ("int64", "word"),
        ("int64", np.inf),
        ("float64", "word"),
        ("Float64", -np.inf),
        ("float64", [1]),
        ("float64", pd.Timestamp("2024-01-01")),
        ("days", "word"),
        ("days", [1]),
        ("durations", "word"),
        ("durations", pd.Timestamp("2024-01-01")),
        ("unordered", [1]),
    ],
)
def test_error_in_encoding_names_the_column(name, invalid):
    codec = codec_of(column(name))
    with pytest.raises((TypeError, ValueError), match="Column 'c' of X"):
        encode(codec, pd.Series([invalid], dtype=object))


@pytest.mark.parametrize("kind", ["foo", "Numeric", None, 5])
def test_unknown_kind_is_an_error(kind):
    with pytest.raises(ValueError, match=r"column_types\['c'\] must be one of"):
        FrameCodec(pd.DataFrame({"c": [1, 2, 3]}), {"c": kind})


def test_kind_of_an_unknown_column_is_an_error():
    with pytest.raises(ValueError, match=r"\['d'\], which X does not have"):
        FrameCodec(pd.DataFrame({"c": [1, 2]}), {"c": "numeric", "d": "ordinal"})
