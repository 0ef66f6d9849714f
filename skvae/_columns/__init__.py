"""Columns of any type, as numbers of cells: what a frame is to a model, and back."""

from __future__ import annotations

from ._frame import FrameCoder, as_frame

__all__ = ["FrameCoder", "as_frame"]
