"""Columns of any type as bin numbers, and back: the encoding of data frames.

`FrameCodec` divides the values of each column into bins, encodes data frames as arrays of bin
numbers, and decodes bin numbers to data frames with the dtypes of the training data. To add a kind
of column, derive a class from `ColumnCodec`.

Needs pandas at import, unlike the other packages of skvae. May import likelihoods, serialization
and utils.
"""

from __future__ import annotations

from ._base import ColumnCodec
from ._frame import FrameCodec, as_frame
from ._units import infer_units

__all__ = ["ColumnCodec", "FrameCodec", "as_frame", "infer_units"]
