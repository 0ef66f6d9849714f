"""Columns of any type as bin numbers, and back: the encoding of data frames.

The only package that needs pandas when it is imported. May import likelihoods, serialization and
utils.
"""

from __future__ import annotations

from ._frame import FrameCodec, as_frame
from ._units import units_of

__all__ = ["FrameCodec", "as_frame", "units_of"]
