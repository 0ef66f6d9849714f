"""Columns of any type, as numbers of cells: what a frame is to a model, and back."""

from __future__ import annotations

from ._frame import FrameCoder, as_frame
from ._units import units_of

__all__ = ["FrameCoder", "as_frame", "units_of"]
