"""The index of pandas in tables of Arrow."""

from __future__ import annotations

import json
import re
from typing import Any

PANDAS_METADATA = b"pandas"
_INDEX_LEVEL = re.compile(r"__index_level_\d+__")


def index_columns(schema: Any) -> set[str]:
    """Return the names of the columns that hold the index of a data frame of pandas.

    Parameters
    ----------
    schema : pyarrow.Schema
        Schema with the metadata of pandas, if pandas has written the table.
    """
    try:
        described = json.loads((schema.metadata or {}).get(PANDAS_METADATA, b"{}"))
        # A range has a description instead of a column.
        noted = {name for name in described["index_columns"] if isinstance(name, str)}
    except (ValueError, KeyError, TypeError):  # written by another program
        noted = set()
    return {name for name in schema.names if name in noted or _INDEX_LEVEL.fullmatch(name)}
