"""Objects as JSON and arrays, and files: complete, or not written at all.

The supported types are plain values, arrays, values of pandas, and classes registered with
`serializable`. Imports no other package of skvae.
"""

from ._encoding import decode, digest_of, encode
from ._files import Arrays, read_file, remove_unfinished, replacing, write_file
from ._registry import serializable

__all__ = [
    "Arrays",
    "decode",
    "digest_of",
    "encode",
    "read_file",
    "remove_unfinished",
    "replacing",
    "serializable",
    "write_file",
]
