"""Encoding of values as JSON and arrays, and decoding, which executes no code from the document.

Values of a closed set of types are encoded. Strings, booleans, integers and finite floats are plain
JSON; other values are JSON objects with a single key, the name of the type. Numeric arrays are
stored separately, under the path of the array within the value.
"""

from __future__ import annotations

import datetime
import decimal
import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ._files import Arrays
from ._registry import is_registered, registered_class

_NUMERIC_KINDS = "biuf"


def encode(value: Any) -> tuple[Any, Arrays]:
    """Return a JSON document for a value, and the arrays of the value.

    Raises
    ------
    TypeError
        If a part of the value has an unsupported type; the message names the part.
    """
    encoder = _Encoder()
    return encoder.encode(value, ()), encoder.arrays


def digest_of(value: Any) -> str:
    """Return the SHA-256 digest of a value."""
    document, arrays = encode(value)
    digest = hashlib.sha256(json.dumps(document, allow_nan=False).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name}:{array.dtype.str}:{array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def decode(document: Any, arrays: Arrays, parameters: Mapping[str, Any]) -> Any:
    """Return the value of a document and arrays that `encode` returned.

    Parameters
    ----------
    document : object
        The JSON document.
    arrays : dict
        Arrays by name.
    parameters : mapping
        Values of parameters that are custom code, by name.

    Raises
    ------
    ValueError
        If a parameter is missing, or if the document is invalid.
    """
    try:
        return _Decoder(arrays, parameters).decode(document)
    except (TypeError, KeyError, AttributeError, IndexError, ArithmeticError, RecursionError) as e:
        raise ValueError(f"its content is invalid ({type(e).__name__}: {e})") from e


class _Encoder:
    def __init__(self) -> None:
        self.arrays: Arrays = {}

    def encode(self, value: Any, place: tuple[str, ...]) -> Any:
        if value is None or isinstance(value, bool | str):
            return str(value) if type(value) is np.str_ else value
        if type(value) is int:
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if type(value) is list:
            return [self.encode(item, (*place, str(i))) for i, item in enumerate(value)]
        if isinstance(value, dict):
            return self._mapping(value, place)
        if type(value).__module__.split(".")[0] == "pandas":
            return self._pandas(value, place)
        kind, content = self._tagged(value, place)
        return {kind: content}

    def _mapping(self, value: dict[Any, Any], place: tuple[str, ...]) -> Any:
        if all(type(key) is str for key in value):
            items = {key: self.encode(item, (*place, key)) for key, item in value.items()}
            return {"dict": items}
        pairs = [
            [self.encode(key, place), self.encode(item, (*place, str(key)))]
            for key, item in value.items()
        ]
        return {"pairs": pairs}

    def _tagged(self, value: Any, place: tuple[str, ...]) -> tuple[str, Any]:
        """Return the name of the type of a value, and the encoded content."""
        name = type(value).__name__
        if type(value) is tuple:
            return "tuple", [self.encode(item, (*place, str(i))) for i, item in enumerate(value)]
        if isinstance(value, torch.device):
            return "device", str(value)
        if isinstance(value, torch.Tensor):
            return "tensor", self.encode(value.cpu().numpy(), place)
        if isinstance(value, np.dtype):
            return "dtype", value.str
        if isinstance(value, os.PathLike):
            return "path", os.fspath(value)
        if isinstance(value, np.generic) and value.dtype.kind in _NUMERIC_KINDS:
            return "scalar", [value.dtype.str, self.encode(value.item(), place)]
        if isinstance(value, np.ndarray):
            return self._array(value, place)
        if isinstance(value, np.random.RandomState):
            return "random_state", self.encode(value.get_state(legacy=True), place)
        if type(value) in _TEXT:
            return name, str(value)
        if is_registered(type(value)):
            return "object", [name, self.encode(dict(vars(value)), place)]
        if len(place) and place[-1] in ("architecture", "likelihood"):
            return "parameter", place[-1]
        raise _unsupported(value, place)

    def _array(self, value: np.ndarray, place: tuple[str, ...]) -> tuple[str, Any]:
        if value.dtype.kind in _NUMERIC_KINDS and value.dtype.itemsize <= 8:
            name = ".".join(place)
            while name in self.arrays:
                name += "_"
            self.arrays[name] = value
            return "array", name
        if value.dtype.kind not in "OU":
            raise _unsupported(value, place)
        items = [self.encode(item, (*place, str(i))) for i, item in enumerate(value.ravel())]
        return "items", [value.dtype.kind, list(value.shape), items]

    def _pandas(self, value: Any, place: tuple[str, ...]) -> Any:
        import pandas as pd

        if value is pd.NA or value is pd.NaT:
            return {"missing": str(value)}
        if isinstance(value, pd.Timestamp | pd.Timedelta):
            zone = str(value.tz) if getattr(value, "tz", None) is not None else None
            return {type(value).__name__: [value.value, zone, value.unit]}
        if isinstance(value, pd.Interval):
            parts = [value.left, value.right, value.closed]
            return {"Interval": [self.encode(part, place) for part in parts]}
        if isinstance(value, pd.CategoricalDtype):
            parts = [value.categories, value.ordered]
            return {"CategoricalDtype": [self.encode(part, place) for part in parts]}
        if isinstance(value, pd.api.extensions.ExtensionDtype):
            return {"pandas_dtype": str(value)}
        if isinstance(value, pd.Index) and not isinstance(value, pd.MultiIndex):
            items = [self.encode(item, (*place, str(i))) for i, item in enumerate(value)]
            parts = [value.dtype, value.name]
            return {"Index": [items, *(self.encode(part, place) for part in parts)]}
        raise _unsupported(value, place)


class _Decoder:
    def __init__(self, arrays: Arrays, parameters: Mapping[str, Any]) -> None:
        self.arrays = arrays
        self.parameters = parameters

    def decode(self, document: Any) -> Any:
        if isinstance(document, list):
            return [self.decode(item) for item in document]
        if not isinstance(document, dict):
            return document
        ((kind, content),) = document.items()
        return self._kinds[kind](self, content)

    def _object(self, content: Any) -> Any:
        name, state = content
        cls = registered_class(name)
        attributes = self.decode(state)
        if not isinstance(attributes, dict):
            raise TypeError(f"attributes of {name} are not a mapping")
        value: Any = object.__new__(cls)
        for attribute, item in attributes.items():
            object.__setattr__(value, attribute, item)
        # Frozen dataclasses check their fields.
        getattr(value, "__post_init__", lambda: None)()
        return value

    def _parameter(self, name: Any) -> Any:
        if name not in self.parameters:
            raise ValueError(
                f"its {name} is your own code: pass the object, as in skvae.load(path, {name}=...)"
            )
        return self.parameters[name]

    def _items(self, content: Any) -> np.ndarray:
        kind, shape, items = content
        values = np.empty(len(items), dtype=object)
        values[:] = self.decode(items)
        return (values if kind == "O" else values.astype(str)).reshape(shape)

    def _random_state(self, content: Any) -> np.random.RandomState:
        name, key, position, has_gauss, gauss = self.decode(content)
        # NumPy does not check the state.
        is_key = isinstance(key, np.ndarray) and (key.dtype, key.shape) == (np.uint32, (624,))
        if name != "MT19937" or not is_key or not 0 <= position <= 624:
            raise ValueError("a random state is invalid")
        state = np.random.RandomState()
        state.set_state((name, key, int(position), int(has_gauss), float(gauss)))
        return state

    def _index(self, content: Any) -> Any:
        import pandas as pd

        items, dtype, name = (self.decode(part) for part in content)
        return pd.Index(items, dtype=dtype, name=name)

    def _stamp(self, kind: str, content: Any) -> Any:
        import pandas as pd

        value, zone, unit = content
        if kind == "Timestamp":
            return pd.Timestamp(value, unit="ns", tz=zone).as_unit(unit)
        return pd.Timedelta(value, unit="ns").as_unit(unit)

    def _pandas(self, kind: str, content: Any) -> Any:
        import pandas as pd

        if kind == "pandas_dtype":
            return pd.api.types.pandas_dtype(content)
        if kind == "missing":
            return {"<NA>": pd.NA, "NaT": pd.NaT}[content]
        make = {"CategoricalDtype": pd.CategoricalDtype, "Interval": pd.Interval}[kind]
        return make(*(self.decode(part) for part in content))

    _kinds: Mapping[str, Callable[[_Decoder, Any], Any]] = {
        "float": lambda self, c: {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[c],
        "dict": lambda self, c: {key: self.decode(item) for key, item in c.items()},
        "pairs": lambda self, c: {self.decode(key): self.decode(item) for key, item in c},
        "tuple": lambda self, c: tuple(self.decode(c)),
        "device": lambda self, c: torch.device(c),
        "tensor": lambda self, c: torch.from_numpy(np.array(self.decode(c))),
        "dtype": lambda self, c: np.dtype(c),
        "path": lambda self, c: Path(c),
        "scalar": lambda self, c: np.dtype(c[0]).type(self.decode(c[1])),
        "array": lambda self, c: self.arrays[c],
        "items": _items,
        "random_state": _random_state,
        "object": _object,
        "parameter": _parameter,
        "Decimal": lambda self, c: decimal.Decimal(c),
        "date": lambda self, c: datetime.date.fromisoformat(c),
        "datetime": lambda self, c: datetime.datetime.fromisoformat(c),
        "time": lambda self, c: datetime.time.fromisoformat(c),
        "Timestamp": lambda self, c: self._stamp("Timestamp", c),
        "Timedelta": lambda self, c: self._stamp("Timedelta", c),
        "Index": _index,
        "pandas_dtype": lambda self, c: self._pandas("pandas_dtype", c),
        "missing": lambda self, c: self._pandas("missing", c),
        "CategoricalDtype": lambda self, c: self._pandas("CategoricalDtype", c),
        "Interval": lambda self, c: self._pandas("Interval", c),
    }


# Types whose values are encoded as text.
_TEXT = (decimal.Decimal, datetime.date, datetime.datetime, datetime.time)


def _unsupported(value: Any, place: tuple[str, ...]) -> TypeError:
    cls = type(value)
    return TypeError(
        f"A value of type {cls.__module__}.{cls.__qualname__} cannot be saved: {value!r:.80}, in "
        f"{'.'.join(place)}."
    )
