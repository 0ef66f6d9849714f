"""Encoding of values as JSON and arrays: registered classes, and packages imported when needed."""

from dataclasses import dataclass

import numpy as np
import pytest

from skvae.serialization import _registry as registry
from skvae.serialization import decode, digest_of, encode, serializable


@pytest.fixture
def point(monkeypatch):
    """Return a class that is registered for the duration of a test."""
    monkeypatch.setattr(registry, "_CLASSES", dict(registry._CLASSES))
    monkeypatch.setattr(registry, "_PREPARATIONS", {})
    prepared = []

    @serializable(prepare=lambda: prepared.append("imported"))
    @dataclass(frozen=True)
    class Point:
        x: float
        name: str

        def __post_init__(self):
            if self.x < 0:
                raise ValueError("x is negative")

    Point.prepared = prepared
    return Point


def round_trip(value):
    return decode(*encode(value), {})


def test_objects_of_registered_classes_come_back_equal(point):
    assert round_trip([point(1.5, "a"), {"b": point(2.0, "c")}]) == [
        point(1.5, "a"),
        {"b": point(2.0, "c")},
    ]


def test_packages_of_the_attributes_are_imported_before_they_are_decoded(point):
    document, arrays = encode(point(1.0, "a"))
    assert point.prepared == []
    decode(document, arrays, {})
    assert point.prepared == ["imported"]


def test_restored_objects_are_checked(point):
    document, arrays = encode(point(1.0, "a"))
    document["object"][1]["x"] = -1.0
    with pytest.raises(ValueError, match="x is negative"):
        decode(document, arrays, {})


def test_subclasses_of_registered_classes_are_not_registered(point):
    class Other(point):
        pass

    with pytest.raises(TypeError, match=r"Other cannot be saved.*in place"):
        encode({"place": Other(1.0, "a")})


def test_a_document_creates_objects_of_registered_classes_only():
    with pytest.raises(ValueError, match="content is invalid"):
        decode({"object": ["Path", {"dict": {}}]}, {}, {})


def test_a_digest_depends_on_values_names_types_and_shapes():
    values = [
        {"a": np.zeros(4)},
        {"b": np.zeros(4)},
        {"a": np.zeros((2, 2))},
        {"a": np.zeros(4, dtype=np.float32)},
        {"a": np.array([0.0, 0.0, 0.0, 1.0])},
        {"a": [0.0, 0.0, 0.0, 0.0]},
    ]
    assert len({digest_of(value) for value in values}) == len(values)
    assert digest_of(values[0]) == digest_of({"a": np.zeros(4)})
