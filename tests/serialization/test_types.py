"""Values of each type come back equal, or are refused when they are written."""

import collections
import datetime as dt
import decimal
import enum
import fractions
import importlib.resources
import io
import math
import zoneinfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import pytz
import torch
from dateutil import tz

from skvae.serialization import UnsupportedError, decode, encode_reversibly, read_file, write_file
from skvae.serialization._comparison import first_difference

UTC_FILE = importlib.resources.files("tzdata.zoneinfo").joinpath("UTC").read_bytes()
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
STAMPS = pd.date_range("2020-10-24 22:00", periods=4, freq="h")


class Colour(enum.IntEnum):
    RED = 1


class Name(str):
    pass


Point = collections.namedtuple("Point", "x y")

PLAIN = {
    "none": None,
    "numbers": [True, 1, -(2**200), 0.1, -0.0, math.inf, -math.inf, math.nan],
    "text": ["", "é", "\ud800", "\x00", "🙂"],
    "long": [list(range(100)), tuple([0.5, math.nan, -0.0] * 20), [True] * 50, [2**70] * 40],
    "mixed": [*range(40), True],
    "tuples": ((), (1, ("a", [2])), [[]]),
    "keys": {1: "a", "b": 2, (1, None): {}, 1.5: [], True + 1: 0},
    "complex": complex(math.nan, -0.0),
    "bytes": [b"", b"\x00\xff"],
    "sets": [frozenset({1, "a"}), {(1, 2)}],
    "range": range(5, -5, -2),
    "decimal": [
        decimal.Decimal(text) for text in ("1.10", "-0", "1E+50", "NaN", "sNaN12", "Infinity")
    ],
    "dates": [dt.date(1, 1, 1), dt.time(1, 2, 3, 4, fold=1), dt.timedelta(-1, 5, 7)],
    "datetimes": [
        dt.datetime(2020, 10, 25, 2, 30, fold=fold, tzinfo=zone)
        for fold in (0, 1)
        for zone in (
            *(None, dt.UTC, dt.timezone(dt.timedelta(hours=2), "x"), BERLIN),
            *(pytz.utc, pytz.FixedOffset(90), pytz.timezone("Europe/Berlin")),
            *(tz.tzutc(), tz.tzoffset("a", 60), tz.gettz("Europe/Berlin")),
        )
    ],
}
ARRAYS = {
    "numbers": [
        np.arange(6).reshape(2, 3),
        np.zeros((0, 2), "f2"),
        np.array(3, "u8"),
        np.ones(3, "?"),
    ],
    "fortran": np.arange(6.0).reshape(2, 3).T,
    "big-endian": [np.arange(3, dtype=">f8"), np.array(1, ">i2")],
    "complex": np.array([1j, math.nan]),
    "times": np.array(["1500-01-01", "NaT"], "M8[s]"),
    "durations": np.array([[5, 7]], "m8[25us]"),
    "text": [np.array(["a", "", "é🙂"], "U9"), np.array([b"a", b""])],
    "objects": np.array([[1, "a"], [None, (2, 3)]], dtype=object),
    "scalars": [np.float32(0.1), np.int8(-3), np.bool_(True), np.complex64(1j), np.str_("a")],
    "times as scalars": [
        np.datetime64("1500-01-01", "D"),
        np.timedelta64(3, "ns"),
        np.datetime64("NaT"),
    ],
    "dtypes": [np.dtype(text) for text in ("f4", ">i8", "O", "M8[us]", "U7", "S3", "m8")],
    "tensors": [torch.arange(3), torch.zeros(2, 0, dtype=torch.bool)],
    "device": torch.device("cuda:1"),
}
DTYPES = [
    *(pd.Int8Dtype(), pd.UInt64Dtype(), pd.Float32Dtype(), pd.BooleanDtype()),
    *(pd.StringDtype("python"), pd.StringDtype("pyarrow"), pd.Series(["a"]).astype("str").dtype),
    *(pd.CategoricalDtype(["b", "a"]), pd.CategoricalDtype([2, 1], ordered=True)),
    *(pd.CategoricalDtype(pd.IntervalIndex.from_breaks([0.5, 1, 2])), pd.CategoricalDtype(STAMPS)),
    pd.CategoricalDtype(pd.Index([(1, 2), (3, 4)], tupleize_cols=False)),
    *(pd.DatetimeTZDtype("s", zone) for zone in (BERLIN, dt.UTC, pytz.timezone("Asia/Tokyo"))),
    pd.DatetimeTZDtype("ns", dt.timezone(dt.timedelta(minutes=-90))),
    *(pd.PeriodDtype("M"), pd.PeriodDtype("2h"), pd.PeriodDtype("Q-NOV")),
    *(
        pd.IntervalDtype("int64", "left"),
        pd.IntervalDtype(),
        pd.IntervalDtype("datetime64[ns]", "both"),
    ),
    *(
        pd.SparseDtype("float64", math.nan),
        pd.SparseDtype("int8", 3),
        pd.SparseDtype("float64", 0.0),
    ),
]
ARROW = [
    *(pa.int8(), pa.string(), pa.large_string(), pa.float16(), pa.null(), pa.date64()),
    *(pa.timestamp("us"), pa.timestamp("ns", "Europe/Berlin"), pa.timestamp("s", "+01:00")),
    *(pa.decimal128(20, 3), pa.decimal256(50, -2), pa.time64("ns"), pa.duration("ms")),
    *(pa.dictionary(pa.int8(), pa.large_string(), True), pa.binary(5), pa.list_(pa.int8(), 3)),
    *(pa.list_(pa.string()), pa.large_list(pa.struct({"a": pa.int8()}))),
    pa.struct([pa.field("a", pa.int8(), nullable=False), pa.field("b", pa.list_(pa.date32()))]),
    pa.map_(pa.string(), pa.int8(), keys_sorted=True),
]
INDICES = [
    *(pd.RangeIndex(2, 9, 3, name="r"), pd.Index([]), pd.Index([1, 2], name=("a", 1))),
    *(pd.Index(["a", "b"]), pd.Index([1, "a", None, math.nan, pd.NA, pd.NaT, 1.0, True])),
    *(pd.Index([1.5, math.nan, -0.0]), pd.Index([1, 2], dtype="u1"), pd.Index([True, False])),
    *(pd.Index([1, None], dtype="Int64"), pd.Index(["a", None], dtype="string")),
    *(pd.Index([(1, 2), (3, 4)], tupleize_cols=False), pd.Index([1, 2], dtype=object)),
    *(STAMPS, STAMPS[[0, 2, 1]], STAMPS.tz_localize("UTC").tz_convert("Europe/Berlin")),
    *(
        pd.DatetimeIndex(np.array(["0001-01-01", "NaT"], "M8[s]")),
        pd.to_timedelta([1, None], unit="s"),
    ),
    *(pd.period_range("2020", periods=3, freq="M"), pd.CategoricalIndex(list("aba"), name="c")),
    *(
        pd.IntervalIndex.from_breaks([0, 1, 2], closed="left"),
        pd.Index([1, 0], dtype="Sparse[int]"),
    ),
    pd.MultiIndex.from_tuples([("a", 1), ("b", 2), ("a", 2)], names=["x", None]),
    *(pd.Index(pd.array([decimal.Decimal("1.5"), None], pd.ArrowDtype(pa.decimal128(5, 2)))),),
    *(
        pd.Index(pd.array(["a", None], pd.ArrowDtype(kind)))
        for kind in (pa.string(), pa.large_string())
    ),
]
SCALARS = [
    *(pd.NA, pd.NaT, pd.Timestamp("2020-01-01 00:00:00.123456789"), pd.Timestamp(0, tz=BERLIN)),
    *(pd.Timestamp("1500-01-01").as_unit("s"), pd.Timestamp(0, tz="UTC").as_unit("ms")),
    *(
        pd.Timestamp("2020-10-25 01:30", tz="UTC").tz_convert(zone)
        for zone in (BERLIN, "Asia/Tokyo")
    ),
    *(pd.Timedelta(3, "s"), pd.Timedelta(np.timedelta64(10**11, "s")), pd.Period("2020-01", "M")),
    *(
        pd.Interval(0, 1.5),
        pd.Interval(STAMPS[0], STAMPS[1], "neither"),
        pd.Period("2020", "W-SUN"),
    ),
]
SCHEMA = pa.schema([pa.field("a", pa.int8(), metadata={"k": "v"})], metadata={"pandas": "{}"})
VALUES = {
    **PLAIN,
    **{f"array: {name}": value for name, value in ARRAYS.items()},
    **{f"dtype: {dtype}-{i}": dtype for i, dtype in enumerate(DTYPES)},
    **{f"arrow: {kind}": pd.ArrowDtype(kind) for kind in ARROW},
    **{f"index {i}": index for i, index in enumerate(INDICES)},
    **{f"scalar: {value}-{i}": value for i, value in enumerate(SCALARS)},
    "schema": [SCHEMA, SCHEMA.field(0)],
}


def through_file(value, tmp_path):
    write_file(tmp_path / "value", *encode_reversibly(value))
    return decode(*read_file(tmp_path / "value"), {})


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_value_comes_back_equal_from_a_file(value, tmp_path):
    back = through_file(value, tmp_path)
    assert first_difference(value, back) is None
    # Independently of the comparison of the package:
    assert type(back) is type(value)
    assert repr(back) == repr(value)


REFUSED = {
    "subclass of int": Colour.RED,
    "subclass of str": Name("a"),
    "named tuple": Point(1, 2),
    "default dict": collections.defaultdict(list),
    "ordered dict": collections.OrderedDict(a=1),
    "fraction": fractions.Fraction(1, 3),
    "object": object(),
    "type": int,
    "longdouble": np.longdouble(1) / 3,
    "longdoubles": np.ones(2, dtype=np.longdouble),
    "records": np.zeros(2, dtype="i4,f8"),
    "masked": np.ma.masked_array([1, 2], [True, False]),
    "dtype of records": np.dtype("i4,f8"),
    "huge dtype": np.dtype("V999999999"),
    "huge integer": 10**2000,
    "huge decimal": decimal.Decimal("1e1000000"),
    "long decimal": decimal.Decimal("1" * 2000),
    "local zone": dt.datetime(2020, 1, 1, tzinfo=tz.tzlocal()),
    "zone from a file": zoneinfo.ZoneInfo.from_file(io.BytesIO(UTC_FILE)),
    "naive time with fold": pd.Timestamp(dt.datetime(2020, 1, 1, fold=1)),
    "offset": pd.offsets.Hour(2),
    "series": pd.Series([1]),
    "generator": np.random.default_rng(0),
    "other generator": np.random.RandomState(np.random.PCG64(0)),
}


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED)
def test_a_value_that_would_not_come_back_equal_is_refused(value):
    with pytest.raises(UnsupportedError, match=r"in place\.1\."):
        encode_reversibly({"place": [0, value]})
