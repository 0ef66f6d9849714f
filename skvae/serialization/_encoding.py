"""Encoding of values as JSON and arrays, and decoding, which executes no code from the document.

Values of a closed set of types are encoded. Strings, booleans, integers and finite floats are plain
JSON, and so are lists; other values are JSON objects with a single key, the tag of the type.
Numeric arrays, and long sequences of numbers, are stored separately, under the path of the value.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from ._array_types import check_shape, is_plain_array
from ._codec import UnsupportedError, description
from ._comparison import first_difference
from ._files import Arrays
from ._limits import MAX_DEPTH, MAX_DIGITS, check_hashes
from ._registry import declared_attributes, is_registered, registered_class
from ._types import codec_of_tag, find_codec

# Sequences of at least this number of numbers are stored as arrays.
_MIN_LENGTH_OF_ARRAY = 32
_DTYPES = {bool: np.bool_, int: np.int64, float: np.float64}
_SEQUENCES: Mapping[str, Callable[[Iterable[Any]], Any]] = {
    "list_of_numbers": list,
    "tuple_of_numbers": tuple,
}
# Types whose first part is hashed item by item.
_HASHED = ("pandas.Index", "frozenset", "set")
# Parameters that may be custom code, which documents do not contain.
_CUSTOM = ("architecture", "likelihood")
# A sequence that is stored as start, stop and step, or an array, may have this length in any case.
_ALWAYS_ALLOWED_LENGTH = 2**16
Place = tuple[str, ...]


def encode(value: Any) -> tuple[Any, Arrays]:
    """Return a JSON document for a value, and the arrays of the value.

    Raises
    ------
    UnsupportedError
        If a part of the value has an unsupported type. The message names the part. The error is a
        TypeError.
    """
    encoder = _Encoder()
    return encoder.encode(value, ()), encoder.arrays


def encode_reversibly(value: Any) -> tuple[Any, Arrays]:
    """Return the result of `encode`, after a check that the value comes back equal.

    Raises
    ------
    UnsupportedError
        If a part of the value has an unsupported type, or does not come back equal.
    """
    encoder = _Encoder()
    document = encoder.encode(value, ())
    decoder = _Decoder(encoder.arrays, encoder.parameters)
    try:
        restored = decoder.decode(document)
    except Exception as error:  # libraries raise exceptions of any type
        raise UnsupportedError(decoder.place, f"A value cannot be restored ({error})") from error
    place = first_difference(value, restored)
    if place is not None:
        raise UnsupportedError(place, "A value does not come back equal")
    return document, encoder.arrays


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
    decoder = _Decoder(arrays, parameters)
    try:
        return decoder.decode(document)
    except _MissingParameterError:
        raise
    except Exception as error:  # a hostile document may cause any exception
        place = f"{'.'.join(decoder.place):.200}" or "the document"
        raise ValueError(
            f"its content is invalid in {place} ({type(error).__name__}: {error!s:.300})"
        ) from error


class _Encoder:
    def __init__(self) -> None:
        self.arrays: Arrays = {}
        # Custom code, by the name of the parameter.
        self.parameters: dict[str, Any] = {}
        self._n_names: Counter[str] = Counter()

    def encode(self, value: Any, place: Place) -> Any:
        cls = type(value)
        if value is None or cls in (bool, str):
            return value
        if cls is int:
            if value.bit_length() > MAX_DIGITS * math.log2(10):
                raise UnsupportedError(place, f"An integer has more than {MAX_DIGITS} digits")
            return value
        if cls is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if len(place) > MAX_DEPTH:
            raise UnsupportedError(place[:3], f"A value is nested deeper than {MAX_DEPTH} levels")
        if cls in (list, tuple):
            return self._sequence(value, place)
        if cls in (dict, OrderedDict):  # torch's states are ordered, and come back as `dict`
            return self._mapping(value, place)
        if is_plain_array(value):
            return {"array": self._store(value, place)}
        if is_registered(cls):
            return {"object": [cls.__name__, self._attributes(value, place)]}
        return self._with_codec(value, place)

    def _sequence(self, value: Any, place: Place) -> Any:
        array = _as_array(value)
        kind = type(value).__name__
        if array is not None:
            return {f"{kind}_of_numbers": self._store(array, place)}
        items = [self.encode(item, (*place, str(i))) for i, item in enumerate(value)]
        return items if kind == "list" else {"tuple": items}

    def _mapping(self, value: dict[Any, Any], place: Place) -> Any:
        if all(type(key) is str for key in value):
            return {"dict": self._items(value, place)}
        pairs = [
            [self.encode(key, place), self.encode(item, (*place, _text(key)))]
            for key, item in value.items()
        ]
        return {"pairs": pairs}

    def _items(self, value: Mapping[str, Any], place: Place) -> dict[str, Any]:
        return {key: self.encode(item, (*place, key)) for key, item in value.items()}

    def _attributes(self, value: Any, place: Place) -> dict[str, Any]:
        cls: Any = type(value)
        unknown = vars(value).keys() - declared_attributes(cls)
        if unknown:
            raise UnsupportedError(
                place, f"{cls.__name__} does not declare the attribute {min(unknown)!r}"
            )
        return self._items(vars(value), place)

    def _with_codec(self, value: Any, place: Place) -> Any:
        codec = find_codec(value)
        if codec is not None:
            try:
                parts = codec.parts(value)
            except Exception as error:  # libraries raise exceptions of any type
                raise UnsupportedError(place, f"{description(value)} ({error})") from error
            return {codec.tag: [self.encode(part, place) for part in parts]}
        if place and place[-1] in _CUSTOM:
            self.parameters[place[-1]] = value
            return {"parameter": place[-1]}
        raise UnsupportedError(place, description(value))

    def _store(self, array: np.ndarray, place: Place) -> str:
        """Store an array under a new name, and return the name."""
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", ".".join(place))[:200]
        self._n_names[name] += 1
        # The number of the array, if the name is not unique. Other names contain no "#".
        if self._n_names[name] > 1 or name == "__metadata__":
            name = f"{name}#{self._n_names[name]}"
        self.arrays[name] = array
        return name


class _Decoder:
    """Decoder of a document. After an error, `place` leads to the part that is invalid."""

    def __init__(self, arrays: Arrays, parameters: Mapping[str, Any]) -> None:
        self.place: Place = ()
        self._arrays = dict(arrays)
        self._parameters = parameters
        self._max_length = max(
            _ALWAYS_ALLOWED_LENGTH, sum(array.nbytes for array in arrays.values())
        )
        # Other parts may be arrays of the items of ranges, so all ranges together are limited.
        self._free_length = self._max_length

    def decode(self, document: Any) -> Any:
        if isinstance(document, float) and not math.isfinite(document):
            raise ValueError("a number is too large")
        if isinstance(document, list):
            return [self._inside(str(i), item) for i, item in enumerate(document)]
        if not isinstance(document, dict):
            return document
        ((tag, content),) = document.items()
        if tag in self._readers:
            return self._readers[tag](self, content)
        return self._value(tag, content)

    def _inside(self, step: str, document: Any) -> Any:
        outside = self.place
        if len(outside) > MAX_DEPTH:
            raise ValueError(f"values are nested deeper than {MAX_DEPTH} levels")
        self.place = (*outside, step)
        value = self.decode(document)
        self.place = outside  # not after an error
        return value

    def _value(self, tag: str, content: Any) -> Any:
        """Return a value that a codec builds from its parts."""
        codec = codec_of_tag(tag)
        if not isinstance(content, list):
            raise TypeError(f"the parts of {tag} are not a list")
        parts = [self.decode(part) for part in content]
        if tag in _HASHED and not is_plain_array(parts[0]):
            if not isinstance(parts[0], list):
                raise TypeError(f"the items of {tag} are not a list")
            check_hashes(list(map(hash, parts[0])))
        value = codec.build(*parts)
        if tag in ("range", "pandas.RangeIndex"):
            self._free_length -= len(value)
            if self._free_length < 0:
                raise ValueError(f"a range has {len(value)} items")
        return value

    def _object(self, content: Any) -> Any:
        name, state = content
        cls: Any = registered_class(name)
        allowed = declared_attributes(cls)
        value: Any = object.__new__(cls)
        if dataclasses.is_dataclass(cls) and state.keys() != allowed:
            raise ValueError(f"{name} has other attributes than {sorted(allowed)}")
        for attribute, item in state.items():
            if attribute not in allowed:
                raise ValueError(f"{name} has no attribute {attribute!r:.80}")
            object.__setattr__(value, attribute, self._inside(attribute, item))
        for check in ("__post_init__", "_check_invariants"):
            getattr(value, check, lambda: None)()
        return value

    def _parameter(self, name: Any) -> Any:
        if name not in self._parameters:
            raise _MissingParameterError(
                f"its {name} is your own code: pass the object, as in skvae.load(path, {name}=...)"
            )
        return self._parameters[name]

    def _array(self, name: Any) -> np.ndarray:
        # Each array occurs once. A file with one array and many references could fill the memory.
        array = self._arrays.pop(name)
        check_shape(array.shape, self._max_length)
        return array

    def _numbers(self, name: Any) -> list[Any]:
        array = self._array(name)
        if array.ndim != 1 or array.dtype not in _DTYPES.values():
            raise ValueError("numbers have the wrong type")
        return array.tolist()

    def _pairs(self, content: Any) -> dict[Any, Any]:
        keys = [self.decode(key) for key, _ in content]
        check_hashes(list(map(hash, keys)))
        result = {}
        for key, (_, item) in zip(keys, content, strict=True):
            result[key] = self._inside(_text(key), item)
        if len(result) < len(keys):
            raise ValueError("a key occurs twice")
        return result

    _readers: Mapping[str, Callable[[_Decoder, Any], Any]] = {
        "float": lambda self, c: {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[c],
        "dict": lambda self, c: {key: self._inside(key, item) for key, item in c.items()},
        "pairs": _pairs,
        "tuple": lambda self, c: tuple(self._inside(str(i), item) for i, item in enumerate(c)),
        "list_of_numbers": _numbers,
        "tuple_of_numbers": lambda self, c: tuple(self._numbers(c)),
        "array": _array,
        "object": _object,
        "parameter": _parameter,
    }


class _MissingParameterError(ValueError):
    """Custom code was not passed to `decode`."""


def _as_array(value: list[Any] | tuple[Any, ...]) -> np.ndarray | None:
    """Return a long sequence of booleans, of integers or of floats as an array, or None."""
    types = set(map(type, value)) if len(value) >= _MIN_LENGTH_OF_ARRAY else set()
    dtype = _DTYPES.get(types.pop()) if len(types) == 1 else None
    if dtype is None or (dtype is np.int64 and max(map(abs, value)) >= 2**63):
        return None
    return np.array(value, dtype=dtype)


def _text(key: Any) -> str:
    """Return the beginning of the text of a key, for error messages and names of arrays."""
    return f"{key!s:.80}"
