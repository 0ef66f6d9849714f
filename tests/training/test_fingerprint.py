"""Digests of objects and of code: equal for equal content, different for different content."""

import functools
import logging
import re
import threading
import types
from collections import OrderedDict, namedtuple
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import nn

from skvae.training._fingerprint import Fingerprinter

pytestmark = pytest.mark.torch_only
Pair = namedtuple("Pair", "first second")


def fingerprint(value):
    return Fingerprinter().fingerprint(value)


@dataclass
class Options:
    rate: float
    names: list = field(default_factory=list)


class Slots:
    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


class Lazy:
    def __init__(self, value):
        self.value = value

    @functools.cached_property
    def square(self):
        return self.value**2


class Layer(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function
        self.linear = nn.Linear(1, 1)
        nn.init.ones_(self.linear.weight)
        nn.init.ones_(self.linear.bias)


@functools.cache
def cached_one():
    return 1


@functools.cache
def cached_two():
    return 2


def cycle(value):
    items = [value]
    items.append(items)
    return items


class Unpicklable:
    def __init__(self, value):
        self.value = value

    def __getstate__(self):
        raise TypeError("a handle of the system")


def class_of_metaclass(value):
    return type("Meta", (type,), {"__call__": value})("Own", (), {})


def with_property(value):
    return type("Own", (), {"value": property(lambda self: value)})


def with_static_method(value):
    return type("Own", (), {"value": staticmethod(lambda: value)})


def class_with(**attributes):
    return type("Own", (), attributes)


def with_default(value):
    return lambda x=value: x


def with_keyword(value):
    return lambda *, x=value: x


def with_attribute(value):
    def function():
        return function.value

    function.value = value
    return function


def recursive(value):
    def count(n):
        return value if n == 0 else count(n - 1)

    return count


def generator(seed):
    return torch.Generator().manual_seed(seed)


# Functions that make equal objects of equal arguments, and two arguments.
MAKERS = {
    "number": (float, 1, 2),
    "text": (str, "a", "b"),
    "list": (lambda x: [x, [x]], 1, 2),
    "dict": (lambda x: {"a": x, 3: None}, 1, 2),
    "set": (lambda x: {"a", "b", x}, "c", "d"),
    "named tuple": (lambda x: Pair(1, x), 1, 2),
    "ordered dict": (lambda x: OrderedDict(a=x), 1, 2),
    "array": (lambda x: np.array([1, x]), 1, 2),
    "dtype of an array": (lambda x: np.zeros(2, x), "f4", "i4"),
    "shape of an array": (np.zeros, (2, 3), (3, 2)),
    "array of objects": (lambda x: np.array([x, None]), "a", "b"),
    "scalar": (np.float32, 1, 2),
    "tensor": (lambda x: torch.tensor([1.0, x]), 1, 2),
    "bfloat16": (lambda x: torch.tensor(x, dtype=torch.bfloat16), 1, 2),
    "sparse tensor": (lambda x: torch.eye(3).mul(x).to_sparse(), 1, 2),
    "tensor without data": (lambda x: torch.zeros(x, device="meta"), 1, 2),
    "dtype": (torch.zeros(1).to, torch.float32, torch.float64),
    "generator of torch": (generator, 1, 2),
    "generator of NumPy": (np.random.default_rng, 1, 2),
    "random state": (np.random.RandomState, 1, 2),
    "dataclass": (lambda x: Options(x, [x]), 1, 2),
    "slots": (Slots, 1, 2),
    "module": (Layer, torch.sin, torch.cos),
    "object without a pickle": (Unpicklable, 1, 2),
    "regular expression": (re.compile, "a", "b"),
    "ufunc": (lambda x: x, np.add, np.multiply),
    "metaclass": (class_of_metaclass, len, max),
    "partial": (lambda x: functools.partial(max, x), 1, 2),
    "cached function": (lambda x: x, cached_one, cached_two),
    "cycle": (cycle, 1, 2),
    "class": (lambda x: class_with(value=x), 1, 2),
    "property": (with_property, 1, 2),
    "static method": (with_static_method, 1, 2),
    "cached property": (lambda x: class_with(v=functools.cached_property(x)), len, max),
    "default": (with_default, 1, 2),
    "keyword": (with_keyword, 1, 2),
    "attribute of a function": (with_attribute, 1, 2),
    "recursive function": (recursive, 1, 2),
    "method": (lambda x: Lazy(x).__init__, 1, 2),
    "function of torch": (lambda x: x, nn.functional.relu, nn.functional.gelu),
    "class of torch": (lambda x: x, nn.ELU, nn.ReLU),
    "object of a library": (np.vectorize, max, min),
    "closure of a library": (lambda x: functools.partialmethod(x)._make_unbound_method, max, min),
}


@pytest.mark.parametrize("name", MAKERS)
def test_digests_are_equal_for_equal_content_only(name):
    make, one, two = MAKERS[name]
    assert fingerprint(make(one)) == fingerprint(make(one))
    assert fingerprint(make(one)) != fingerprint(make(two))


def test_shared_and_equal_parts_have_the_same_digest():
    part = [1, 2]
    assert fingerprint([part, part]) == fingerprint([[1, 2], [1, 2]])


def layers(*names):
    return nn.Sequential(OrderedDict((name, getattr(nn, name)()) for name in names))


def test_the_order_of_a_dict_counts():
    assert fingerprint({"a": 1, "b": 2}) != fingerprint({"b": 2, "a": 1})
    assert fingerprint(layers("Tanh", "ReLU")) != fingerprint(layers("ReLU", "Tanh"))


def test_the_order_in_which_attributes_were_set_does_not_count():
    first, second = Options(1, []), Options(1, [])
    second.__dict__ = {"names": [], "rate": 1}
    assert fingerprint(first) == fingerprint(second)


def test_stored_results_do_not_count():
    fresh, used = Lazy(3), Lazy(3)
    assert used.square == 9
    assert fingerprint(fresh) == fingerprint(used)


@pytest.mark.parametrize("make", [threading.Lock, lambda: logging.getLogger("skvae"), lambda: open])
def test_what_cannot_be_read_counts_by_its_type(make):
    assert fingerprint([make()]) == fingerprint([make()])


def test_objects_nested_too_deeply_are_an_error():
    deep = []
    for _ in range(10_000):
        deep = [deep]
    with pytest.raises(ValueError, match="nested too deeply"):
        fingerprint(deep)


def test_only_bytecode_depends_on_python():
    fingerprinter = Fingerprinter()
    fingerprinter.fingerprint([1, nn.ELU, nn.functional.relu])
    assert not fingerprinter.has_code
    fingerprinter.fingerprint(lambda: 1)
    assert fingerprinter.has_code


def run(source, **names):
    namespace = {"__name__": "own", **names}
    exec(source, namespace)
    return namespace["f"]


def test_attributes_of_own_modules_count():
    def make(value, other=0):
        settings = types.ModuleType("settings")
        settings.WIDTH, settings.OTHER = value, other
        settings.inner = types.ModuleType("settings.inner")
        settings.inner.DEPTH = value
        return settings

    for source in ("def f(): return settings.WIDTH", "def f(): return settings.inner.DEPTH"):
        one, two, same = (
            fingerprint(run(source, settings=make(*values))) for values in [(1,), (2,), (1, 7)]
        )
        assert one != two
        assert one == same
        # The same with a module in an enclosing function.
        nested = source.replace("def f()", "def g(settings): f = lambda").replace("return ", "")
        nested = nested.replace("lambda:", "lambda:") + "; return f"
        one, two, same = (
            fingerprint(run(nested + "\nf = g(settings)", settings=make(*values)))
            for values in [(1,), (2,), (1, 7)]
        )
        assert one != two
        assert one == same


def test_modules_that_a_function_imports_count_by_their_files(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_module.py").write_text("WIDTH = 1")
    package = tmp_path / "own_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "widths.py").write_text("WIDTH = 1")
    sources = {
        "def f():\n import own_module\n return own_module.WIDTH": tmp_path / "own_module.py",
        "def f():\n from own_package.widths import WIDTH\n return WIDTH": package / "widths.py",
        "def f():\n from .widths import WIDTH\n return WIDTH": package / "widths.py",
    }
    for source, file in sources.items():
        file.write_text("WIDTH = 1")
        before = fingerprint(run(source, __package__="own_package"))
        assert fingerprint(run(source, __package__="own_package")) == before
        file.write_text("WIDTH = 2")
        assert fingerprint(run(source, __package__="own_package")) != before


@pytest.mark.parametrize("name", ["os", "numpy.linalg", "skvae.columns", "no_such_module"])
def test_installed_modules_that_a_function_imports_count_by_name(name):
    assert fingerprint(run(f"def f():\n import {name}"))
