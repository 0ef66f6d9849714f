"""Names and types of the columns of Arrow tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..utils import import_optional, index_columns
from ._common import check_unique_names


def import_pyarrow(module: str = "pyarrow") -> Any:
    """Import pyarrow, or a module of pyarrow."""
    return import_optional(module, "memmap_from_arrow")


def select_columns(schemas: Mapping[str, Any], columns: Sequence[str] | None) -> list[str]:
    """Return the names of the columns to read, after checking for numbers in all files.

    Parameters
    ----------
    schemas : mapping of str to pyarrow.Schema
        Schema of each file by path.
    columns : sequence of str or None
        Names of the columns. None stands for all columns except the index of pandas.
    """
    known = list(dict.fromkeys(name for schema in schemas.values() for name in schema.names))
    if isinstance(columns, str):
        raise TypeError(f"columns must be a list of names; got {columns!r}.")
    names = _all_features(schemas, known) if columns is None else list(columns)
    if unknown := [name for name in names if name not in known]:
        raise ValueError(
            f"columns contains {', '.join(map(repr, unknown))}, but the source has only "
            f"{', '.join(map(repr, known))}."
        )
    check_unique_names("columns", names)
    for origin, schema in schemas.items():
        location = f" of {origin}" if origin else ""
        for name in names:
            fields = [schema.field(index) for index in schema.get_all_field_indices(name)]
            if len(fields) > 1:
                raise ValueError(f"More than one column{location} is named {name!r}.")
            if fields and not _is_numeric(fields[0].type):
                raise TypeError(
                    f"Column {name!r}{location} holds {fields[0].type}, not numbers. Pass the "
                    "names of the other columns as columns, or convert this column to numbers. "
                    "For text, categories and times, fit TabularVAE to a data frame."
                )
    return names


def _is_numeric(type: Any) -> bool:
    types = import_pyarrow("pyarrow.types")
    if types.is_dictionary(type):
        type = type.value_type
    kinds = (
        types.is_integer,
        types.is_floating,
        types.is_boolean,
        types.is_decimal,
        types.is_null,
    )
    return any(is_kind(type) for is_kind in kinds)


def common_schema(
    schemas: Mapping[str, Any], names: Sequence[str], is_csv: bool, dtype: np.dtype[Any]
) -> Any:
    """Return a schema for all files, with float64 where types differ or may change."""
    pa = import_pyarrow()

    def common_type(name: str) -> Any:
        found = {schema.field(name).type for schema in schemas.values() if name in schema.names}
        found = found - {pa.null()} or found
        # pyarrow infers the types of a CSV file from the first rows. Fractions may follow
        # integers, and any number may follow missing values.
        are_integers = all(pa.types.is_integer(type) for type in found)
        may_change = found == {pa.null()} or (are_integers and dtype.kind == "f")
        return pa.float64() if len(found) > 1 or (is_csv and may_change) else found.pop()

    return pa.schema([(name, common_type(name)) for name in names])


# ---- Datasets with files of several types -----------------------------------------------


def is_csv(fragment: Any) -> bool:
    """Return whether a fragment of a dataset is a CSV file, with types inferred from a few rows."""
    return getattr(getattr(fragment, "format", None), "default_extname", "") == "csv"


def types_of_file(fragment: Any, schema: Any) -> Any:
    """Return the schema of a dataset with the types that the columns of numbers have in a file.

    A dataset has the types of the first file, and pyarrow casts the columns of other files: numbers
    to booleans, float64 to float32, or decimals to float64, without an error.
    """
    if is_csv(fragment):
        return schema
    physical = fragment.physical_schema
    for index, name in enumerate(schema.names):
        found = physical.get_all_field_indices(name)
        if len(found) == 1 and _is_numeric(physical.field(found[0]).type):
            schema = schema.set(index, physical.field(found[0]))
    return schema


def check_casts(fragment: Any, schema: Any, columns: Sequence[str]) -> None:
    """Raise `ValueError` if a cast from the types of a file to those of a schema changes values."""
    physical = fragment.physical_schema
    for name in columns:
        if is_csv(fragment) or name not in physical.names:
            continue
        source, target = physical.field(name).type, schema.field(name).type
        if _is_lossy_cast(source, target):
            raise ValueError(
                f"Column {name!r} is {source} in {getattr(fragment, 'path', 'a part')}, but "
                f"{target} in the dataset, and a conversion would change values. Pass a dataset "
                "with a schema that suits all files, or a list of the files."
            )


def _is_lossy_cast(source: Any, target: Any) -> bool:
    """Return whether pyarrow changes values in a cast without an error."""
    types = import_pyarrow("pyarrow.types")
    if source == target or types.is_null(source):
        return False
    return bool(
        types.is_temporal(source)
        or types.is_boolean(target)
        or (types.is_floating(source) and types.is_decimal(target))
        or (types.is_decimal(source) and types.is_floating(target))
    )


# ---- The index of pandas -----------------------------------------------------------------


def _all_features(schemas: Mapping[str, Any], known: Sequence[str]) -> list[str]:
    """Return the names of all columns except the index of a data frame."""
    index: dict[str, str] = {}
    for origin, schema in schemas.items():
        index |= dict.fromkeys(index_columns(schema), origin)
    for origin, schema in schemas.items():
        for name in sorted(index.keys() & set(schema.names)):
            if name not in index_columns(schema):
                raise ValueError(
                    f"{name!r} is the index of a data frame in {index[name]}, but a column in "
                    f"{origin}. Pass the names of the columns to read as columns."
                )
        if "" in schema.names:
            location = f" of {origin}" if origin else ""
            raise ValueError(
                f"A column{location} has no name, as the index in a CSV file written by pandas. "
                "Pass the names of the columns to read as columns, or write the file with "
                "index=False."
            )
    names = [name for name in known if name not in index]
    if known and not names:
        raise ValueError(
            f"The source has no columns except the index of a data frame, {list(known)}. Pass the "
            "names of the columns to read as columns."
        )
    return names
