"""Registry of the classes that files may contain."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, overload

Class = TypeVar("Class", bound=type)

_CLASSES: dict[str, type] = {}
_PREPARATIONS: dict[str, Callable[[], object]] = {}


@overload
def serializable(cls: Class) -> Class: ...
@overload
def serializable(*, prepare: Callable[[], object]) -> Callable[[Class], Class]: ...


def serializable(cls: type | None = None, *, prepare: Callable[[], object] | None = None) -> object:
    """Register a class for files, as a decorator.

    Files contain the attributes of objects, and create objects of registered classes only.

    Parameters
    ----------
    cls : type
        Class to register, under its name.
    prepare : callable, optional
        Called before the attributes of an object are restored, to import the packages in which the
        classes of the attributes are registered.
    """

    def register(cls: Class) -> Class:
        _CLASSES[cls.__name__] = cls
        if prepare is not None:
            _PREPARATIONS[cls.__name__] = prepare
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
