"""Casts of later rows to the dtype of numeric columns."""

import decimal

import numpy as np
import pandas as pd
import pytest

from helpers_columns import codec_of
from skvae.columns import FrameCodec


def cast(fit, later, kind=None):
    """Return later values, a list, in the dtype of a column."""
    frame = pd.DataFrame({"c": fit})
    codec = FrameCodec(frame, {"c": kind} if kind else {}).codecs[0]
    return codec.cast(pd.Series(later))


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        *[("float16", 7e4), ("float32", 1e300), ("float32", -1e39), ("Float32", 1e300)],
        *[("int8", 300), ("Int8", 300), ("uint8", -1), ("UInt8", -1.0), ("uint64", 2.0**64)],
        *[("int64", 1e300), ("int64", 2.0**63), ("bool", 2)],
    ],
)
def test_numbers_beyond_the_range_of_the_dtype_are_an_error(dtype, value):
    with pytest.raises(ValueError, match=r"in row 1, which the dtype .* cannot express"):
        cast(pd.Series([0, 1] * 20).astype(dtype), [1, value], "numeric")


@pytest.mark.parametrize("dtype", ["int8", "uint64", "float16", "float32", "float64", "Float64"])
def test_numbers_within_the_range_are_kept(dtype):
    info = np.finfo(dtype.lower()) if "loat" in dtype else np.iinfo(dtype)
    values = [1.0, 0.0, min(float(info.max), 2.0**50)]
    result = cast(pd.Series([0, 1] * 20).astype(dtype), values)
    assert result.dtype == dtype
    assert result.tolist() == values


def test_conditions_beyond_the_range_of_the_dtype_are_met_by_no_value():
    codec = codec_of(pd.Series([0, 1] * 20, dtype="float32"))
    with pytest.raises(ValueError, match="No training value of column 'c' satisfies"):
        codec.allowed_ranges({"c": 1e300})
    assert codec.allowed_ranges({"c": pd.Interval(-1e300, 1e300)})[0].any()


def test_objects_are_of_the_class_of_fit():
    tenths = [decimal.Decimal("0.5"), decimal.Decimal("1.0")]
    later = pd.Series([decimal.Decimal("0.25"), 1.5, 2], dtype=object)
    result = cast(pd.Series(tenths * 20), later)
    assert [str(value) for value in result] == ["0.25", "1.5", "2.0"]


@pytest.mark.parametrize("dtype", [object, "string"])
def test_labels_stay_strings(dtype):
    fit = pd.Series(["007", "08"] * 20, dtype=dtype)
    assert cast(fit, pd.Series(["9", 7], dtype=object), "numeric").tolist() == ["9", "007"]
    with pytest.raises(ValueError, match=r"9 in row 0, which the dtype .* cannot express"):
        cast(fit, [9], "numeric")


def test_objects_of_several_types_are_not_numeric():
    frame = pd.DataFrame({"c": pd.Series([1.5, "1.5"] * 20, dtype=object)})
    with pytest.raises(ValueError, match=r"values of several types, float, str: .*to_numeric"):
        FrameCodec(frame, {"c": "numeric"})
