"""Columns of every dtype of pandas, Arrow and polars, with the same small numbers behind."""

import datetime
import decimal
import fractions
import uuid
import zoneinfo

import dateutil.tz
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

N = 60
NUMBERS = np.random.RandomState(0).randint(0, 5, N)
HOLES = [1, 5, 7]

STRINGS = [f"s{k}" for k in NUMBERS]
BYTES = [string.encode() for string in STRINGS]
TIMES = [datetime.datetime(2020, 1, 1) + datetime.timedelta(hours=int(k)) for k in NUMBERS]
DATES = [datetime.date(2020, 1, 1 + int(k)) for k in NUMBERS]
CLOCK = [datetime.time(int(k)) for k in NUMBERS]
DECIMALS = [decimal.Decimal(f"{k / 4:.2f}") for k in NUMBERS]
ZONES = {
    "named": "America/New_York",
    "zoneinfo": zoneinfo.ZoneInfo("Europe/Berlin"),
    "UTC of dateutil": dateutil.tz.UTC,
    "UTC of datetime": datetime.UTC,
    "offset": datetime.timezone(datetime.timedelta(hours=5.5)),
}
if int(pd.__version__.split(".")[0]) >= 3:  # earlier versions fail at the zone itself
    ZONES["dateutil"] = dateutil.tz.gettz("Asia/Kolkata")


def objects(values):
    """Return a Series of objects, one for each value, whatever the values are."""
    array = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        array[i] = value
    return pd.Series(array)


def _pandas_columns():
    yield "bool", pd.Series(NUMBERS > 2)
    for dtype in ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]:
        yield dtype, pd.Series(NUMBERS.astype(dtype))
    for dtype in ["float16", "float32", "float64", "longdouble", ">i4", ">f8"]:
        yield dtype, pd.Series(NUMBERS.astype(dtype))
    for dtype in ["Int8", "Int32", "Int64", "UInt8", "UInt64", "Float32", "Float64"]:
        yield dtype, pd.Series(NUMBERS).astype(dtype)
    yield "boolean", pd.Series(NUMBERS > 2).astype("boolean")
    for storage in ("python", "pyarrow"):
        yield f"string[{storage}]", pd.Series(STRINGS).astype(f"string[{storage}]")
    yield "category", pd.Series(STRINGS).astype("category")
    names = ["s4", "s3", "s2", "s1", "s0", "none"]
    yield "ordered category", pd.Series(pd.Categorical(STRINGS, names, ordered=True))
    yield "category of numbers", pd.Series(NUMBERS).astype("category")
    yield "category of times", pd.Series(TIMES).astype("category")
    yield "category of intervals", pd.Series(pd.cut(NUMBERS, [-1, 1, 3, 5]))
    yield "category of tuples", objects([(int(k), 1) for k in NUMBERS]).astype("category")
    for unit in ("s", "ms", "us", "ns"):
        times = pd.Series(TIMES).astype(f"datetime64[{unit}]")
        yield f"datetime64[{unit}]", times
        yield f"timedelta64[{unit}]", times - times.min()
    for name, zone in ZONES.items():
        yield f"zone: {name}", pd.Series(TIMES).dt.tz_localize("UTC").dt.tz_convert(zone)
    for freq in ("M", "D"):
        ordinals = np.int64(NUMBERS + 600)
        dtype = pd.PeriodDtype(freq)
        yield f"period[{freq}]", pd.Series(pd.arrays.PeriodArray(ordinals, dtype=dtype))
    yield "interval", pd.Series(pd.IntervalIndex.from_breaks(range(7))[NUMBERS])
    yield "sparse float", pd.Series(pd.arrays.SparseArray(NUMBERS.astype(float)))
    yield "sparse int", pd.Series(pd.arrays.SparseArray(NUMBERS))
    yield "sparse bool", pd.Series(pd.arrays.SparseArray(NUMBERS > 2))
    for name, values in _object_columns():
        yield f"object: {name}", objects(values)
    for name, values in ARROW.items():
        yield f"arrow: {name}", pd.Series(pd.arrays.ArrowExtensionArray(values))


def _object_columns():
    yield "str", STRINGS
    yield "bytes", BYTES
    yield "int", NUMBERS.tolist()
    yield "float", (NUMBERS / 2).tolist()
    yield "bool", (NUMBERS > 2).tolist()
    yield "decimal", DECIMALS
    yield "date", DATES
    yield "early date", [datetime.date(1, 1, 1 + int(k)) for k in NUMBERS]
    yield "time", CLOCK
    yield "datetime", TIMES
    yield "early datetime", [datetime.datetime(1500, 1, 1 + int(k)) for k in NUMBERS]
    yield "timedelta", [datetime.timedelta(hours=int(k)) for k in NUMBERS]
    yield "tuple", [(int(k), "a") for k in NUMBERS]
    yield "mixed", ["a" if k == 0 else int(k) for k in NUMBERS]
    yield "period", [pd.Period(date, freq="D") for date in DATES]
    yield "interval", [pd.Interval(int(k), int(k) + 1) for k in NUMBERS]
    yield "zoned", [pd.Timestamp(time, tz="Europe/Paris") for time in TIMES]


def _arrow_columns():
    for name in ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]:
        yield name, pa.array(NUMBERS, getattr(pa, name)())
    yield "halffloat", pa.array(NUMBERS.astype(np.float16))
    yield "float", pa.array(NUMBERS.astype(np.float32))
    yield "double", pa.array(NUMBERS / 2)
    yield "bool", pa.array(NUMBERS > 2)
    for name in ("string", "large_string"):
        yield name, pa.array(STRINGS, getattr(pa, name)())
    yield "binary", pa.array(BYTES)
    yield "fixed_size_binary", pa.array(BYTES, pa.binary(2))
    for bits in (128, 256):
        yield f"decimal{bits}", pa.array(DECIMALS, getattr(pa, f"decimal{bits}")(8, 2))
    yield "date32", pa.array(DATES)
    yield "date64", pa.array(DATES, pa.date64())
    for unit in ("s", "ms", "us", "ns"):
        yield f"timestamp[{unit}]", pa.array(TIMES, pa.timestamp(unit))
        yield f"duration[{unit}]", pa.array(NUMBERS, pa.duration(unit))
    yield "timestamp with zone", pa.array(TIMES, pa.timestamp("us", "Europe/Paris"))
    yield "timestamp with offset", pa.array(TIMES, pa.timestamp("us", "+05:30"))
    for type_ in (pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns")):
        yield str(type_), pa.array(CLOCK, type_)
    yield "dictionary", pa.array(STRINGS).dictionary_encode()
    yield "dictionary of numbers", pa.array(NUMBERS).dictionary_encode()
    codes = pa.array(NUMBERS.astype(np.int16))
    yield "ordered", pa.DictionaryArray.from_arrays(codes, pa.array(list("edcba")), ordered=True)


def _polars_columns():
    for dtype in (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64):
        yield str(dtype), pl.Series(NUMBERS.tolist(), dtype=dtype)
    yield "Float32", pl.Series((NUMBERS / 2).tolist(), dtype=pl.Float32)
    yield "Float64", pl.Series((NUMBERS / 2).tolist())
    yield "Boolean", pl.Series((NUMBERS > 2).tolist())
    yield "String", pl.Series(STRINGS)
    yield "Categorical", pl.Series(STRINGS, dtype=pl.Categorical)
    yield "Enum", pl.Series(STRINGS, dtype=pl.Enum(["s4", "s3", "s2", "s1", "s0", "none"]))
    yield "Binary", pl.Series(BYTES)
    yield "Date", pl.Series(DATES)
    yield "Time", pl.Series(CLOCK)
    yield "Decimal", pl.Series(DECIMALS, dtype=pl.Decimal(8, 2))
    for unit in ("ms", "us", "ns"):
        yield f"Datetime {unit}", pl.Series(TIMES, dtype=pl.Datetime(unit))
        yield (
            f"Duration {unit}",
            pl.Series(NUMBERS.tolist(), dtype=pl.Int64).cast(pl.Duration(unit)),
        )
    yield "zoned", pl.Series(TIMES).dt.replace_time_zone("Europe/Paris")


ARROW = dict(_arrow_columns())
PANDAS = dict(_pandas_columns())
POLARS = dict(_polars_columns())
TABLES = {
    "pandas": lambda: pd.DataFrame(PANDAS),
    "pyarrow": lambda: pa.table(ARROW),
    "polars": lambda: pl.DataFrame(POLARS),
}
# Columns that `fit` refuses, by the words that the message must contain.
REFUSED = {
    "complex": (pd.Series(NUMBERS * 1j), "complex numbers"),
    "object: complex": (objects([complex(k) for k in NUMBERS]), "complex numbers"),
    "object: list": (objects([[int(k)] for k in NUMBERS]), "not hashable"),
    "object: dict": (objects([{"a": int(k)} for k in NUMBERS]), "not hashable"),
    "object: array": (objects([np.array([k]) for k in NUMBERS]), "not hashable"),
    "object: huge integers": (objects([2**70 + int(k) for k in NUMBERS]), "beyond 2"),
    "object: mixed zones": (
        objects([pd.Timestamp("2020", tz="UTC" if k else "Asia/Tokyo") for k in NUMBERS]),
        "different time zones",
    ),
    "object: long decimals": (
        objects([decimal.Decimal("0.1234567890123456789") + int(k) for k in NUMBERS]),
        "more digits than float64",
    ),
    "int64 beyond 2**53": (pd.Series(2**53 + 1 + NUMBERS), "beyond 2"),
    "longdouble": (
        pd.Series(np.longdouble(1) / 3 + NUMBERS),
        "longdouble|float128|float96|more digits",
    ),
    "arrow: list": (pa.array([[int(k)] for k in NUMBERS]), "lists or structs"),
    "arrow: struct": (pa.array([{"a": int(k)} for k in NUMBERS]), "lists or structs"),
    "arrow: interval": (
        pa.array([(int(k), 0, 0) for k in NUMBERS], pa.month_day_nano_interval()),
        "Arrow type",
    ),
    "polars: List": (pl.Series([[int(k)] for k in NUMBERS]), "lists or structs"),
    "polars: Struct": (pl.Series([{"a": int(k)} for k in NUMBERS]), "lists or structs"),
    "polars: Object": (pl.Series(STRINGS, dtype=pl.Object), "no counterpart in Arrow"),
}
# Objects that pickles support, but files do not.
NOT_SAVED = {
    "fraction": objects([fractions.Fraction(int(k), 3) for k in NUMBERS]),
    "uuid": objects([uuid.UUID(int=int(k)) for k in NUMBERS]),
}


def frame_of(column):
    """Return a table of a column of any library, named "c", and a column of numbers."""
    numbers = np.random.RandomState(1).normal(size=N)
    if isinstance(column, pl.Series):
        return pl.DataFrame({"c": column, "x": numbers})
    if isinstance(column, pa.Array):
        return pa.table({"c": column, "x": numbers})
    return pd.DataFrame({"c": column, "x": numbers})


def dtypes_of(table):
    """Return the dtype of each column, by name."""
    if isinstance(table, pa.Table):
        return {field.name: field.type for field in table.schema}
    return dict(zip(table.columns, table.dtypes, strict=True))


def values_of(table, name):
    """Return the values of a column as a list of Python's objects."""
    if isinstance(table, pa.Table):
        return table[name].to_pylist()
    if isinstance(table, pl.DataFrame):
        return table[name].to_list()
    return table[name].astype(object).tolist()


def with_holes(table):
    """Return a table with missing values in the rows `HOLES` of each column, in other dtypes."""
    index = pa.array([None if i in HOLES else i for i in range(N)], pa.int64())
    if isinstance(table, pa.Table):
        return table.take(index)
    if isinstance(table, pl.DataFrame):
        return table[list(range(N))].select(
            pl.when(pl.Series(np.isin(np.arange(N), HOLES)))
            .then(None)
            .otherwise(pl.col(name))
            .alias(name)
            for name in table.columns
        )
    columns = {}
    for name, column in table.items():
        values = column.astype(object)
        values[HOLES] = None
        columns[name] = values
    return pd.DataFrame(columns)


def to_polars(frame):
    """Return a data frame of polars. Early versions read no categories but strings."""
    try:
        return pl.from_pandas(frame)
    except pl.exceptions.ComputeError:
        categories = frame.select_dtypes("category").astype(object)
        return pl.from_pandas(frame.assign(**categories.where(categories.notna(), None)))
