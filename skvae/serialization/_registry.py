"""Registry of the classes that files may contain."""

from __future__ import annotations

import dataclasses
import dis
import inspect
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import pairwise
from types import FunctionType
from typing import Any, TypeVar, overload

Class = TypeVar("Class", bound=type)

_CLASSES: dict[str, type] = {}
_PREPARATIONS: dict[str, Callable[[], object]] = {}
_FURTHER_ATTRIBUTES: dict[type, frozenset[str]] = {}


@overload
def serializable(cls: Class) -> Class: ...
@overload
def serializable(
    *, prepare: Callable[[], object] | None = None, attributes: Iterable[str] = ()
) -> Callable[[Class], Class]: ...


def serializable(
    cls: type | None = None,
    *,
    prepare: Callable[[], object] | None = None,
    attributes: Iterable[str] = (),
) -> object:
    """Register a class for files, as a decorator.

    Files contain the attributes of objects, and create objects of registered classes only, with
    `declared_attributes` only. After an object is restored, the methods ``__post_init__`` and
    ``_check_invariants`` are called, if the class has them, to refuse attributes that do not agree.

    Parameters
    ----------
    cls : type
        Class to register, under its name.
    prepare : callable, optional
        Called before the attributes of an object are restored, to import the packages in which the
        classes of the attributes are registered.
    attributes : iterable of str
        Attributes of objects that no method of the class assigns.
    """

    def register(cls: Class) -> Class:
        _CLASSES[cls.__name__] = cls
        if prepare is not None:
            _PREPARATIONS[cls.__name__] = prepare
        _FURTHER_ATTRIBUTES[cls] = frozenset(attributes)
        return cls

    return register if cls is None else register(cls)


def is_registered(cls: type) -> bool:
    """Return whether objects of a class may be written. Subclasses do not count."""
    return _CLASSES.get(cls.__name__) is cls


def registered_class(name: str) -> type:
    """Return the registered class of a name, after the preparation of the class.

    Raises
    ------
    KeyError
        If no class of this name is registered.
    """
    cls = _CLASSES[name]
    _PREPARATIONS.get(name, lambda: None)()
    return cls


@cache
def declared_attributes(cls: Any) -> frozenset[str]:
    """Return the names of the attributes that objects of a class may have.

    The attributes are the fields of a dataclass. Otherwise, they are the attributes that the class
    annotates without a value, and the attributes that a method of the class assigns to ``self``.
    Names of methods and properties are excluded.
    """
    if dataclasses.is_dataclass(cls):
        return frozenset(field.name for field in dataclasses.fields(cls))
    names = set(_FURTHER_ATTRIBUTES.get(cls, ()))
    for base in cls.__mro__:
        annotations = inspect.get_annotations(base)  # strings, as in all modules of skvae
        of_class = {name for name, kind in annotations.items() if "ClassVar" in str(kind)}
        names.update(annotations.keys() - of_class - vars(base).keys())
        for member in vars(base).values():
            names.update(_assigned_attributes(member))
    return frozenset(name for name in names if not _is_behaviour(getattr(cls, name, None)))


def _assigned_attributes(member: object) -> Iterator[str]:
    """Yield the names of the attributes that a method or property assigns to its first argument."""
    member = member.fget if isinstance(member, property) else member
    if isinstance(member, staticmethod | classmethod):
        return
    function = inspect.unwrap(member) if callable(member) else None
    if not isinstance(function, FunctionType) or not function.__code__.co_argcount:
        return
    self = function.__code__.co_varnames[0]
    for owner, store in pairwise(dis.get_instructions(function)):
        # Python 3.13 and later load two variables in one instruction, the owner last.
        names = owner.argval if isinstance(owner.argval, tuple) else (owner.argval,)
        if store.opname == "STORE_ATTR" and names[-1] == self:
            yield store.argval


def _is_behaviour(member: object) -> bool:
    return callable(member) or isinstance(member, property)
