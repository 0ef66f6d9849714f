"""Attributes that objects in files may have."""

from dataclasses import dataclass
from typing import ClassVar

from skvae.serialization import declared_attributes


class Base:
    declared: int
    constant: ClassVar[int] = 1
    default: int = 2

    def __init__(self, other):
        self.first = other
        self.second, self._third = other, self.first
        other.foreign = 1

    def fit(self, values):
        if values:
            self.fourth_ = [value + 1 for value in values]
        return lambda: self.first

    @property
    def ready(self):
        self.cached = True
        return True

    @staticmethod
    def change(self):
        self.constant = 3


class Derived(Base):
    def fit(self, values):
        self.fit = None  # shadows a method
        self.fifth_ = values


@dataclass(frozen=True)
class Value:
    x: int
    scale: ClassVar[int] = 1

    def __post_init__(self):
        object.__setattr__(self, "y", 1)


def test_attributes_are_those_that_methods_assign_to_self():
    names = {"declared", "first", "second", "_third", "fourth_", "cached"}
    assert declared_attributes(Base) == names
    assert declared_attributes(Derived) == names | {"fifth_"}


def test_attributes_of_a_dataclass_are_its_fields():
    assert declared_attributes(Value) == {"x"}
