"""Mutations of saved estimators: hostile files with a valid digest."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from skvae.serialization._files import _FORMAT, _NO_DIGEST, _around_digest, _digest

HUGE = [2**31, 10**9, 2**63 - 1, 2**64, 10**18, 10**400, -1, 0, 1e308, 5e-324]
PATHS = ["/etc/passwd", "../../../etc/passwd", "dateutil//etc/passwd", "/tmp/skvae-was-here", ""]
ZONES = [
    *({"ZoneInfo": [path]} for path in [*PATHS, "zone.tab", "Europe/Berlin", "Europe"]),
    *({"pytz.timezone": [path]} for path in PATHS),
    *({"dateutil.tzfile": [path]} for path in [*PATHS, "posixrules", "Europe/Berlin"]),
    {"pandas.DatetimeTZDtype": ["ns", "dateutil//etc/passwd"]},
    {"pandas.SparseDtype": ["datetime64[ns, dateutil//etc/passwd]", 0]},
    {"pandas.Index": [["a"], "datetime64[ns, dateutil//etc/passwd]", None]},
    {"pandas.ArrowDtype": [{"pyarrow.DataType": ["timestamp", "ns", "dateutil//etc/passwd"]}]},
    {"pandas.ArrowDtype": [{"pyarrow.DataType": ["fixed_size_binary", 2**30]}]},
    {"timezone": [{"timedelta": [0, 10**12, 0]}, None]},
]
NUMBERS = [
    *({"Decimal": [text]} for text in ("1E+1000000", "1e999999999", "9" * 5000, "x", "NaN")),
    *({"scalar": [kind, 10**30]} for kind in ("<i4", "<f8", "<M8[ns]", "V9", "str_")),
    *({"range": [0, 10**15, 1]}, {"pandas.RangeIndex": [0, 10**15, 1, None]}, {"float": "nan"}),
    *({"dtype": [text]} for text in ("V999999999", "<U999999999", "<M8[ns]", "|O", "f4,f4")),
    {"pairs": [[k * (2**61 - 1), k] for k in range(1, 2000)]},
    {"pandas.Index": [[k * (2**61 - 1) for k in range(1, 2000)], {"dtype": ["|O"]}, None]},
    {"frozenset": [[{"tuple": [k * (2**61 - 1), 0]} for k in range(1, 2000)]]},
]
OBJECTS = [
    *(None, True, "", "x", "auto", "\x00", "\ud800", [], [[]], {}, {"a": 1}, {"dict": {}}),
    *(
        {"tuple": [10**9, 10**9]},
        {"tuple": [4] * 5000},
        {"array": "x"},
        {"parameter": "likelihood"},
    ),
    *({"object": ["system", {}]}, {"object": ["Histogram", {}]}, {"object": ["Gaussian", {}]}),
    *({"object": [name, {}]} for name in ("FrameReader", "CategoricalColumn", "MissingIndicator")),
    *(
        {"object": ["Checkpoint", {"path": "/tmp/x", "epochs": 1, "seconds": None}]},
        {"path": ["/x"]},
    ),
    *(
        {"object_array": [[10**9], []]},
        {"object_array": [[0, 10**15], []]},
        {"device": ["cuda:99"]},
    ),
    *({"raw_array": ["<U1000000", [1], {"array": "x"}]}, {"random_state": [[], 0, 0, 0.0]}),
    *({"pandas.NaT": []}, {"pandas.NA": []}, {"pandas.Timestamp": [10**30, "s", None, 0]}),
    {"pandas.Period": [10**15, "999999D"]},
    {"pandas.MultiIndex": [[], [], []]},
]
HOSTILE = [*HUGE, *PATHS, *ZONES, *NUMBERS, *OBJECTS]
MAX_LENGTH = 10**7  # of a document
ATTRIBUTES = ["checkpoint", "transform", "_trainer", "__class__", "_skl_callbacks", "noise", "x_"]
TAGS = ["dict", "tuple", "pairs", "object", "array", "dtype", "list_of_numbers", "scalar"]
TAGS += ["pandas.Index", "pandas.Interval", "pandas.CategoricalDtype", "frozenset", "object_array"]


def write_hostile(path: Path, text: str, arrays: dict[str, np.ndarray], edit: Any = None) -> None:
    """Write a file with a right digest, from the text of a document."""
    header = f'{{"format": {_FORMAT}, "sha256": "{_NO_DIGEST.decode()}", "document": {text}}}'
    plain = {name: np.array(array, order="C") for name, array in arrays.items()}
    content = save(plain, metadata={"skvae": header})
    if edit is not None:
        content = edit(content)
    try:
        before, after = _around_digest(content)
        content = b"".join([before, _digest(before, after), after])
    except ValueError:  # the digest itself was edited
        pass
    path.write_bytes(content)


def mutate(path: Path, document: Any, arrays: dict[str, np.ndarray], rng: random.Random) -> str:
    """Write a mutated file, and return the kind of the mutation."""
    kind = rng.choices(["node", "array", "text", "bytes"], [6, 2, 1, 1])[0]
    original = document, arrays
    document, arrays, edit = copy.deepcopy(document), dict(arrays), None
    if kind == "node":
        for _ in range(rng.choice([1, 1, 1, 2, 5])):
            _mutate_node(document, rng)
    elif kind == "array":
        for _ in range(rng.choice([1, 1, 3])):
            _mutate_array(arrays, rng)
    text = json.dumps(document)
    if kind == "text":
        text = _mutate_text(text, rng)
    elif kind == "bytes":
        edit = lambda content: _mutate_bytes(content, rng)  # noqa: E731
    if len(text) > MAX_LENGTH:
        return mutate(path, *original, rng)
    write_hostile(path, text, arrays, edit)
    return kind


def _places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of each value in a document, apart from the document itself."""
    found: list[tuple[Any, ...]] = [path] if path else []
    if isinstance(document, dict | list):
        for key, item in document.items() if isinstance(document, dict) else enumerate(document):
            found += _places(item, (*path, key))
    return found


def _at(document: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        document = document[key]
    return document


def _mutate_node(document: Any, rng: random.Random) -> None:
    places = _places(document)
    if not places:
        return
    # Numbers and strings are the most frequent nodes, but the structure above them matters, too.
    place = rng.choice(places)
    place = place[: rng.randint(1, len(place))] if rng.random() < 0.4 else place
    parent, key = _at(document, place[:-1]), place[-1]
    # Bins occur twice in a file, and must agree: half of the mutations change both.
    twins = [_at(document, other) for other in places] if rng.random() < 0.5 else []
    twins = [t for t in twins if isinstance(t, dict) and t == parent and t is not parent]
    _mutate_key(document, parent, key, places, rng)
    for twin in twins:
        twin.clear()
        twin.update(copy.deepcopy(parent))


def _mutate_key(
    document: Any, parent: Any, key: Any, places: list[tuple[Any, ...]], rng: random.Random
) -> None:
    node = parent[key]
    action = rng.randrange(8)
    if action == 0:
        parent.pop(key)
    elif action == 1 and isinstance(node, int | float):
        numbers = [node * 10**6, -node, node + 1, 0.5 * (node % 2**50), str(node), [node]]
        parent[key] = rng.choice(numbers)
    elif action == 2 and isinstance(node, list) and node:
        parent[key] = node * rng.choice([2, 10, 2000 // len(node) + 1])
    elif action == 3 and isinstance(node, dict) and node:
        content = node.pop(next(iter(node)))
        node[rng.choice(TAGS)] = content
    elif action == 4:
        parent[key] = copy.deepcopy(_at(document, rng.choice(places)))
    elif action == 5:
        for _ in range(rng.choice([1, 20, 60])):
            parent[key] = [parent[key]] if rng.random() < 0.5 else {"tuple": [parent[key]]}
    elif action == 6 and isinstance(node, dict):
        node[rng.choice(ATTRIBUTES)] = copy.deepcopy(rng.choice(HOSTILE))
    else:
        parent[key] = copy.deepcopy(rng.choice(HOSTILE))


def _mutate_array(arrays: dict[str, np.ndarray], rng: random.Random) -> None:
    if not arrays:
        return
    name = rng.choice(sorted(arrays))
    array = arrays[name]
    action = rng.randrange(8)
    if action == 0:
        del arrays[name]
    elif action == 1:
        arrays[f"{name}x"] = arrays.pop(name)
    elif action == 2:
        arrays[name] = np.resize(array, rng.choice([(0,), (1,), (7,), (3, 3), (10**4,), (1, 1, 1)]))
    elif action == 3:
        with np.errstate(all="ignore"):
            arrays[name] = array.astype(rng.choice(["u1", "i8", "f2", "f8", "?", "u8"]))
    elif action == 4:
        arrays[name] = np.empty(rng.choice([(0, 10**12), (10**9, 0), (0, 2**40, 3)]), array.dtype)
    elif action == 5:
        arrays[name] = array.T if array.ndim > 1 else array[::-1]
    elif action == 6:
        arrays[name] = arrays[rng.choice(sorted(arrays))]
    elif array.size:
        value = rng.choice([np.nan, np.inf, -np.inf, 1e300, -1, 0, 2**31])
        with np.errstate(all="ignore"):
            arrays[name] = np.where(
                np.arange(array.size).reshape(array.shape) == rng.randrange(array.size),
                np.float64(value),
                array,
            ).astype(array.dtype)


def _mutate_text(text: str, rng: random.Random) -> str:
    """Return JSON that no encoder writes: duplicate keys, many values, deep or huge values."""
    at = rng.randrange(len(text))
    at = text.find(rng.choice('{[,:"'), at)
    at = max(at, 0)
    n = 10 ** rng.randrange(2, 6)
    inserted = rng.choice(
        [
            *('"dict": {}, ', '"dict": 1, "dict": 2, ', "NaN, ", "1e999, ", "9" * n + ", "),
            *("[" * n, "{}," * n, "[]," * n, "0," * n, '{"a":' * (n // 10), '"",' * n, '"' * 3),
            *(rng.choice("{}[],:0\"'"), "null, ", '{"tuple": []},' * n),
        ]
    )
    if rng.random() < 0.2:
        inserted = "[" * n + "]" * n
    return text[: at + 1] + inserted + text[at + 1 :]


def _mutate_bytes(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 10])):
        # Half of the changes hit the header.
        end = len(changed) if rng.random() < 0.5 else min(len(changed), 4000)
        at = rng.randrange(end)
        action = rng.randrange(4)
        if action == 0:
            changed[at] ^= 1 << rng.randrange(8)
        elif action == 1:
            changed[at] = rng.randrange(256)
        elif action == 2:
            del changed[at : at + rng.randrange(1, 64)]
        else:
            changed[at:at] = rng.randbytes(rng.randrange(1, 32))
        if not changed:
            break
    return bytes(changed)
