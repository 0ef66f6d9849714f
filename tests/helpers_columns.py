"""Columns of many types, and short forms of encoding and decoding a single column."""

import numpy as np
import pandas as pd
import pytest

from skvae.columns import FrameCodec, read_table

N = 400
START = pd.Timestamp("2024-01-01")


# ---- Data sets -----------------------------------------------------------------------


def _times(rng, step, n_steps=900):
    """Return times from the start of 2024 on, in multiples of a step."""
    return START + pd.Series(rng.randint(n_steps, size=N)) * pd.Timedelta(step)


def _booleans(rng):
    return rng.uniform(size=N) < 0.3


def _strings(rng, categories=("a", "b", "c")):
    return rng.choice(categories, N, p=[0.5, 0.3, 0.2])


def _zero_inflated(rng):
    """Return positive numbers, and zero in a third of the rows."""
    return np.where(rng.uniform(size=N) < 1 / 3, 0.0, rng.lognormal(size=N) + 0.1)


def _spiked(rng):
    """Return normal numbers, and one of two values in a fifth of the rows."""
    values = rng.normal(size=N)
    values[: N // 8], values[-N // 10 :] = 0.5, -1.0
    return values


def _categories(rng, *, ordered):
    """Return categories in a declared order, one of which has no rows."""
    values = _strings(rng, ("x", "y", "z"))
    return pd.Categorical(values, categories=["z", "x", "none", "y"], ordered=ordered)


NUMERIC = {
    "int64": lambda rng: rng.poisson(30, N),
    "wide int64": lambda rng: rng.randint(-(10**9), 10**9, N),
    "int8": lambda rng: rng.randint(-128, 128, N).astype(np.int8),
    "uint8": lambda rng: rng.randint(0, 256, N).astype(np.uint8),
    "Int64": lambda rng: pd.array(rng.poisson(3, N), dtype="Int64"),
    "Int8": lambda rng: pd.array(rng.randint(-128, 128, N), dtype="Int8"),
    "float32": lambda rng: rng.normal(size=N).astype(np.float32),
    "float64": lambda rng: rng.normal(size=N),
    "Float64": lambda rng: pd.array(rng.normal(size=N), dtype="Float64"),
    "one decimal": lambda rng: rng.normal(size=N).round(1),
    "four decimals": lambda rng: (100 * rng.normal(size=N)).round(4),
    "zero-inflated": _zero_inflated,
    "spiked": _spiked,
    "days": lambda rng: _times(rng, "1D"),
    "seconds": lambda rng: _times(rng, "1s", 10**8),
    "microseconds": lambda rng: _times(rng, "1us", 10**12),
    "zoned": lambda rng: _times(rng, "1h").dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin"),
    "durations": lambda rng: _times(rng, "1min", 10**5) - START,
}
CATEGORICAL = {
    "bool": _booleans,
    "boolean": lambda rng: pd.array(_booleans(rng), dtype="boolean"),
    "strings": _strings,
    "string": lambda rng: pd.array(_strings(rng), dtype="string"),
    "objects": lambda rng: np.array(["a", 1, 2.5] * N, dtype=object)[:N],
    "unordered": lambda rng: _categories(rng, ordered=False),
    "ordered": lambda rng: _categories(rng, ordered=True),
    "category of int64": lambda rng: pd.Categorical(rng.poisson(2, N)),
    "category of times": lambda rng: _times(rng, "1D", 5).astype("category"),
}
# Distance between neighbouring values of rounded columns.
STEPS = {
    "int64": 1,
    "wide int64": 1,
    "int8": 1,
    "uint8": 1,
    "Int64": 1,
    "Int8": 1,
    "one decimal": 0.1,
    "four decimals": 1e-4,
}
every_column = pytest.mark.parametrize("name", [*NUMERIC, *CATEGORICAL])
every_numeric_column = pytest.mark.parametrize("name", NUMERIC)
every_categorical_column = pytest.mark.parametrize("name", CATEGORICAL)
with_and_without_missing = pytest.mark.parametrize("missing", [False, True])


def missing_mask():
    """Return which rows of `column(name, missing=True)` are missing."""
    return np.random.RandomState(0).uniform(size=N) < 0.2


def column(name, missing=False):
    """Return a column, drawn from a generator with the name as seed."""
    rng = np.random.RandomState(list(name.encode()))
    values = pd.Series((NUMERIC | CATEGORICAL)[name](rng))
    return values.mask(missing_mask()) if missing else values


# ---- Codecs of a single column -------------------------------------------------------


def plain(values):
    """Return a data frame with a single column in a plain dtype."""
    return read_table(pd.DataFrame({"c": values})).frame


def codec_of(values, kind=None):
    return FrameCodec(plain(values), {"c": kind} if kind else {})


def encode(codec, values):
    return codec.encode(plain(values))[:, 0]


def decode(codec, bin_index, position=0.5):
    bin_index = np.asarray(bin_index, dtype=float)[:, None]
    positions = np.broadcast_to(np.reshape(position, (-1, 1)), bin_index.shape)
    return codec.decode(bin_index, positions)["c"]


def bins_of(codec):
    return codec.codecs[0].bins


def edges_of(codec):
    """Return the left and right edges of the bins of a numeric column, in units."""
    (numeric,) = codec.codecs
    return numeric._to_units(numeric._left), numeric._to_units(numeric._right)


def bin_probability(bins):
    """Return the probability of each bin if levels have the marginal probabilities."""
    level = np.array(bins.level)
    return np.exp(bins.log_marginal().numpy()[level] + np.array(bins.log_fraction))
