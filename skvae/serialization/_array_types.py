"""Codecs of NumPy and torch: unusual arrays, scalars, dtypes, tensors and random states."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import torch

from ._codec import Codec

_NUMERIC_KINDS = "biuf"
# Kinds of arrays stored as bytes: complex numbers, times, text, and swapped numbers.
_RAW_KINDS = "cmMSUbiuf"
_MAX_ITEM = {"f": 8, "c": 16}
# Booleans, numbers of up to 8 bytes, times, text and objects. "V999999999" would be a huge dtype.
_DTYPE = re.compile(
    r"\|b1|[|<>][iu]1|[<>][iuf][248]|[<>]f(?:12|16)|[<>]c(?:8|16|24|32)|\|O"
    r"|[<>][mM]8(?:\[[0-9]{0,4}(?:Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?|\|S[0-9]+|[<>]U[0-9]+"
)
_MAX_WIDTH = 2**12
_MAX_CODE_POINT = 0x10FFFF


def is_plain_array(value: Any) -> bool:
    """Return whether a file holds an array as it is: numbers of up to 8 bytes, in native order."""
    return (
        type(value) in (np.ndarray, np.memmap)
        and value.dtype.kind in _NUMERIC_KINDS
        and value.dtype.itemsize <= 8
        and value.dtype.isnative
    )


def _dtype(text: str) -> np.dtype:
    if not _DTYPE.fullmatch(text):
        raise ValueError(f"{text!r:.80} is not a dtype")
    return np.dtype(text)


def _column_dtype(text: str) -> np.dtype:
    """Return a dtype in which a column can be written, so values must not be wide."""
    dtype = _dtype(text)
    if dtype.itemsize > _MAX_WIDTH:
        raise ValueError(f"values of {dtype.itemsize} bytes are too wide")
    return dtype


def _dtype_parts(dtype: np.dtype) -> list[str]:
    if dtype.metadata is not None:
        raise ValueError("the dtype has metadata")
    return [_dtype(dtype.str).str]


def _raw_parts(array: np.ndarray) -> list[Any]:
    """Return the dtype, the shape and the bytes of an array."""
    # Numbers of extended precision differ between machines.
    if array.dtype.kind not in _RAW_KINDS or array.dtype.itemsize > _MAX_ITEM.get(
        array.dtype.kind, array.dtype.itemsize
    ):
        raise ValueError("the dtype of an array is not supported")
    content = np.frombuffer(array.tobytes(), dtype=np.uint8)
    return [*_dtype_parts(array.dtype), list(array.shape), content]


def _raw_array(text: str, shape: list[int], content: np.ndarray) -> np.ndarray:
    dtype = _dtype(text)
    if dtype.kind == "O" or dtype.itemsize == 0 or content.dtype != np.uint8:
        raise ValueError("the bytes of an array are invalid")
    check_shape(tuple(shape), content.size)
    array = content.reshape(-1).view(dtype).reshape(shape)
    if dtype.kind == "U":
        code_points = array.reshape(-1).view(dtype.str[0] + "u4")
        if code_points.size and code_points.max() > _MAX_CODE_POINT:
            raise ValueError("a text has invalid characters")
    return array


def check_shape(shape: tuple[int, ...], n_bytes: int) -> None:
    """Raise `ValueError` for an empty array with a huge dimension, such as (0, 10**12)."""
    # Integers of NumPy would overflow.
    if 0 in shape and math.prod(int(n) for n in shape if n) > max(2**16, n_bytes):
        raise ValueError(f"an empty array has the shape {shape}")


def object_array(items: list[Any]) -> np.ndarray:
    """Return items as an array of objects, (n,). Lists and tuples are items, too."""
    array = np.empty(len(items), dtype=object)
    for i, item in enumerate(items):
        array[i] = item
    return array


def _object_array(shape: list[int], items: list[Any]) -> np.ndarray:
    check_shape(tuple(shape), len(items))
    return object_array(items).reshape(shape)


def _scalar_parts(value: np.generic) -> list[Any]:
    kind, size = value.dtype.kind, value.dtype.itemsize
    if type(value) in (np.str_, np.bytes_):
        return [type(value).__name__, value.item()]
    if kind in "mM":
        return [*_dtype_parts(value.dtype), int(value.view(np.int64))]
    if (kind in _NUMERIC_KINDS and size <= 8) or (kind == "c" and size <= 16):
        return [value.dtype.str, value.item()]
    raise ValueError("numbers of extended precision are not supported")


def _scalar(name: str, value: Any) -> Any:
    if (name, type(value)) in (("str_", str), ("bytes_", bytes)):
        return np.str_(value) if name == "str_" else np.bytes_(value)
    dtype = _dtype(name)
    if dtype.kind in "mM":
        return np.array(value, dtype=np.int64).view(dtype)[()]
    if dtype.kind not in "biufc" or type(value) not in (bool, int, float, complex):
        raise ValueError("a scalar is not a number")
    return dtype.type(value)


def _random_state_parts(generator: np.random.RandomState) -> list[Any]:
    state = generator.get_state(legacy=False)
    if state["bit_generator"] != "MT19937":
        raise ValueError("a RandomState is supported with the generator MT19937 only")
    return [*state["state"].values(), state["has_gauss"], state["gauss"]]


def _random_state(key: Any, position: int, has_gauss: int, gauss: float) -> np.random.RandomState:
    # NumPy does not check the state.
    is_key = isinstance(key, np.ndarray) and (key.dtype, key.shape) == (np.uint32, (624,))
    if not is_key or not 0 <= position <= 624:
        raise ValueError("a random state is invalid")
    state = np.random.RandomState()
    state.set_state(("MT19937", key, int(position), int(has_gauss), float(gauss)))
    return state


_RAW = Codec("raw_array", _raw_parts, _raw_array)
_OBJECTS = Codec("object_array", lambda v: [list(v.shape), v.ravel().tolist()], _object_array)
_SCALAR = Codec("scalar", _scalar_parts, _scalar)
_DTYPE_CODEC = Codec("dtype", _dtype_parts, _column_dtype)
_TENSOR = Codec(
    "tensor",
    lambda v: [v.detach().cpu().numpy()],
    lambda array: torch.from_numpy(np.array(array)),
    lambda a, b: a.requires_grad == b.requires_grad,
)
_DEVICE = Codec("device", lambda v: [str(v)], torch.device)
_RANDOM_STATE = Codec("random_state", _random_state_parts, _random_state)
TAGS = {
    codec.tag: codec
    for codec in (_RAW, _OBJECTS, _SCALAR, _DTYPE_CODEC, _TENSOR, _DEVICE, _RANDOM_STATE)
}


def find_codec(value: Any) -> Codec | None:
    """Return the codec of a value of NumPy or torch, or None."""
    cls = type(value)
    if cls in (np.ndarray, np.memmap):
        return _OBJECTS if value.dtype.kind == "O" else _RAW
    if isinstance(value, np.generic):
        return _SCALAR if cls is value.dtype.type else None
    if isinstance(value, np.dtype):
        return _DTYPE_CODEC
    codecs = {
        torch.Tensor: _TENSOR,
        torch.device: _DEVICE,
        np.random.RandomState: _RANDOM_STATE,
    }
    return codecs.get(cls)
