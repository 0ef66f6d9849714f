"""Digests of objects, and of code by its content: equal for equal objects in any process.

Functions and classes of your own code count by their bytecode and by the values that they refer to,
so a changed function has another digest, and an equal lambda of another process the same digest.
Functions and classes of installed packages count by their names.
"""

from __future__ import annotations

import copyreg
import dis
import functools
import hashlib
import importlib.util
import inspect
import sys
import sysconfig
import types
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

Parts = tuple[str, Iterable[bytes]]

_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis), type(NotImplemented))
_CACHED_FUNCTION = type(functools.cache(len))
# Attributes of classes that do not affect results, or that differ between equal classes.
_IGNORED_ATTRIBUTES = {
    *("__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__annotations__"),
    *("__annotate__", "__annotate_func__", "__annotations_cache__", "__firstlineno__"),
    *("__static_attributes__", "__abstractmethods__", "_abc_impl"),
}


class Fingerprinter:
    """Computes digests of objects.

    Attributes
    ----------
    has_code : bool
        Whether any object so far contained bytecode, which depends on the version of Python.
    """

    def __init__(self) -> None:
        self.has_code = False
        # Digests by id. The objects are kept, so no other object gets the same id.
        self._digests: dict[int, bytes] = {}
        self._kept: list[Any] = []

    def fingerprint(self, value: Any) -> str:
        """Return the digest of an object, in hexadecimal digits.

        Parts that cannot be read, such as open files, count by their types only.

        Raises
        ------
        ValueError
            If objects are nested too deeply.
        """
        try:
            return self._digest(value).hex()
        except RecursionError as error:
            raise ValueError(
                f"The objects in a {type(value).__name__} are nested too deeply to be compared."
            ) from error

    def _digest(self, value: Any) -> bytes:
        key = id(value)
        if key not in self._digests:
            self._kept.append(value)
            self._digests[key] = _hash("cycle", [])  # if the object contains itself
            self._digests[key] = _hash(*self._describe(value))
        return self._digests[key]

    def _each(self, values: Iterable[Any]) -> list[bytes]:
        return [self._digest(value) for value in values]

    def _pairs(self, mapping: Mapping[Any, Any]) -> list[bytes]:
        return sorted(self._digest(key) + self._digest(item) for key, item in mapping.items())

    # ---- Values ----------------------------------------------------------------------

    def _describe(self, value: Any) -> Parts:
        """Return the kind of an object, and the digests of its parts."""
        cls = type(value)
        if cls in _PLAIN:
            return cls.__name__, [repr(value).encode()]
        if cls in (list, tuple):
            return cls.__name__, self._each(value)
        if cls in (set, frozenset):
            return "set", sorted(self._each(value))
        if cls in (dict, types.MappingProxyType):  # the order of layers matters, for example
            return "dict", self._each([*value, *value.values()])
        if isinstance(value, np.generic) and not value.dtype.hasobject:
            return f"scalar {value.dtype.str}", [value.tobytes()]
        if isinstance(value, np.ndarray):
            return self._array(value)
        if isinstance(value, torch.Tensor):
            return f"tensor {value.dtype} {tuple(value.shape)}", [_tensor_bytes(value)]
        if isinstance(value, torch.Generator):
            return "generator", [self._digest(value.get_state())]
        # Pickles of NumPy's generators contain how a generator was seeded, too.
        if isinstance(value, np.random.RandomState):
            return "generator", self._each(value.get_state(legacy=True))
        if isinstance(value, np.random.Generator):
            return "generator", [self._digest(value.bit_generator.state)]
        return self._describe_code(value) or self._reduced(value)

    def _array(self, array: np.ndarray) -> Parts:
        if array.dtype.hasobject:
            return f"array {array.shape}", self._each(array.ravel().tolist())
        return f"array {array.dtype.str} {array.shape}", [array.tobytes()]

    def _reduced(self, value: Any) -> Parts:
        """Describe an object by the parts that a pickle would contain."""
        try:
            reduce = copyreg.dispatch_table.get(type(value))
            reduced = reduce(value) if reduce else value.__reduce_ex__(4)
        except Exception:  # locks, files and weak references, for example
            attributes = getattr(value, "__dict__", {})
            return "opaque", [self._digest(type(value)), *self._pairs(attributes)]
        if isinstance(reduced, str):
            return "global", [f"{getattr(value, '__module__', None)}.{reduced}".encode()]
        make, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        if isinstance(state, dict):
            state = {k: v for k, v in state.items() if not _is_cached(type(value), k)}
        # The order in which attributes were set does not matter.
        parts = [make, arguments, list(items or ()), *(pairs or ())]
        attributes = self._pairs(state) if isinstance(state, dict) else self._each([state])
        return "object", [*self._each(parts), *attributes]

    # ---- Code ------------------------------------------------------------------------

    def _describe_code(self, value: Any) -> Parts | None:
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, types.CodeType):
            return self._code(value)
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, types.ModuleType):
            return "module", [value.__name__.encode()]
        if isinstance(value, types.MethodType):
            return "method", self._each([value.__func__, value.__self__])
        if isinstance(value, property):
            return "property", self._each([value.fget, value.fset, value.fdel])
        if isinstance(value, staticmethod | classmethod):
            return type(value).__name__, self._each([value.__func__])
        if isinstance(value, functools.cached_property):
            return "cached_property", self._each([value.func])
        if isinstance(value, _CACHED_FUNCTION):
            return "cached_function", self._each([value.__wrapped__])
        return None

    def _function(self, function: types.FunctionType) -> Parts:
        is_installed = _is_installed(function.__module__)
        if is_installed and "<" not in function.__qualname__:
            return "function", [f"{function.__module__}.{function.__qualname__}".encode()]
        parts: list[Any] = [function.__code__, function.__defaults__, function.__kwdefaults__]
        parts += [vars(function)]
        if is_installed:
            parts += [_content(cell) for cell in function.__closure__ or ()]
            return "function", self._each(parts)
        references = _references(function)
        return "function", [*self._each(parts), *self._pairs(references)]

    def _code(self, code: types.CodeType) -> Parts:
        self.has_code = True
        numbers = (code.co_flags, code.co_argcount, code.co_kwonlyargcount, code.co_posonlyargcount)
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        return "code", self._each(
            [code.co_code, code.co_exceptiontable, code.co_consts, numbers, names]
        )

    def _class(self, cls: type) -> Parts:
        if _is_installed(cls.__module__):
            return "class", [f"{cls.__module__}.{cls.__qualname__}".encode()]
        attributes = {k: v for k, v in vars(cls).items() if k not in _IGNORED_ATTRIBUTES}
        slots = (types.MemberDescriptorType, types.GetSetDescriptorType)
        attributes = {k: None if isinstance(v, slots) else v for k, v in attributes.items()}
        parts = [cls.__qualname__, type(cls), *cls.__bases__]
        return "class", [*self._each(parts), *self._pairs(attributes)]


def _hash(kind: str, parts: Iterable[bytes]) -> bytes:
    digest = hashlib.sha256(kind.encode())
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


def _tensor_bytes(tensor: torch.Tensor) -> bytes:
    if tensor.is_meta:
        return b""
    dense = tensor.detach().to_dense() if tensor.layout != torch.strided else tensor.detach()
    return dense.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _is_cached(cls: type, name: Any) -> bool:
    """Return whether an attribute of an object is the stored result of a `cached_property`."""
    attribute = inspect.getattr_static(cls, name, None) if isinstance(name, str) else None
    return isinstance(attribute, functools.cached_property)


def _content(cell: types.CellType) -> tuple[Any, ...]:
    """Return the value of a variable, if the variable has a value."""
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ()


def _is_installed(module_name: Any) -> bool:
    """Return whether a module belongs to Python, to skvae or to an installed package."""
    name = str(module_name)
    root = name.partition(".")[0]
    if root == "skvae":
        return True
    module = sys.modules.get(name) or sys.modules.get(root)
    file = getattr(module, "__file__", None)
    if file is None or root in ("__main__", "__mp_main__"):
        return root in sys.stdlib_module_names
    return _is_installed_file(Path(file))


def _is_installed_file(file: Path) -> bool:
    path, standard = file.resolve(), Path(sysconfig.get_path("stdlib")).resolve()
    is_package = not {"site-packages", "dist-packages"}.isdisjoint(path.parts)
    return is_package or path.is_relative_to(standard)


def _references(function: types.FunctionType) -> dict[str, Any]:
    """Return the variables to which a function refers, the attributes of its modules, and imports.

    The variables are global variables, and variables of enclosing functions.
    """
    code, namespace = function.__code__, function.__globals__
    names, imports = _names(code)
    pending = {name: namespace[name] for name in names if name in namespace}
    enclosing = zip(code.co_freevars, function.__closure__ or (), strict=True)
    pending |= {name: value for name, cell in enclosing for value in _content(cell)}
    attributes = {name for nested in _nested_code(code) for name in nested.co_names}
    found: dict[str, Any] = {}
    while pending:
        name, value = pending.popitem()
        found[name] = value
        if isinstance(value, types.ModuleType) and not _is_installed(value.__name__):
            for attribute in attributes & vars(value).keys():
                place = f"{value.__name__}.{attribute}"
                if place not in found:
                    pending[place] = getattr(value, attribute)
    for level, name in imports:
        root = name if level == 0 else str(namespace.get("__package__"))
        root = root.partition(".")[0]
        found[f"import {root}"] = _source(root)
    return dict(sorted(found.items()))  # the digest of a cycle depends on where it is entered


def _names(function_code: types.CodeType) -> tuple[set[str], set[tuple[int, str]]]:
    """Return the global names in a code object, and the levels and names of imports."""
    names, imports = set(), set()
    for code in _nested_code(function_code):
        instructions = [i for i in dis.get_instructions(code) if i.opname != "EXTENDED_ARG"]
        for position, instruction in enumerate(instructions):
            if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                names.add(instruction.argval)
            elif instruction.opname == "IMPORT_NAME":
                level = instructions[position - 2].argval  # loaded before the names to import
                imports.add((level, instruction.argval))
    return names, imports


def _source(root: str) -> list[bytes]:
    """Return the files of a module or package of your own code, which may not be imported yet."""
    try:
        spec = importlib.util.find_spec(root)
    except (ImportError, ValueError):
        return []
    if spec is None or spec.origin is None or not spec.has_location or root == "skvae":
        return []
    file = Path(spec.origin)
    if _is_installed_file(file):
        return []
    is_package = spec.submodule_search_locations is not None
    files = sorted(file.parent.rglob("*.py")) if is_package else [file]
    return [file.read_bytes() for file in files]


def _nested_code(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _nested_code(constant)
