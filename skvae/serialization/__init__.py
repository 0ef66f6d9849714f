"""Objects as JSON and arrays, and files: complete, or not written at all.

The supported types are plain values, arrays, values of pandas, and classes registered with
`serializable`. Imports no other package of skvae.
"""

from ._codec import UnsupportedError
from ._encoding import decode, digest_of, encode, encode_reversibly
from ._files import Arrays, read_file, remove_unfinished, replacing, write_file
from ._registry import declared_attributes, serializable
from ._time_zones import check_zone_or_offset

__all__ = [
    "Arrays",
    "UnsupportedError",
    "check_zone_or_offset",
    "declared_attributes",
    "decode",
    "digest_of",
    "encode",
    "encode_reversibly",
    "read_file",
    "remove_unfinished",
    "replacing",
    "serializable",
    "write_file",
]
