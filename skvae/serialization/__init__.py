"""Objects as JSON and arrays, and files that are written completely or not at all.

Imports no other package of skvae.
"""

from ._encoding import decode, digest_of, encode
from ._files import Arrays, read_file, remove_unfinished, replacing, write_file

__all__ = [
    "Arrays",
    "decode",
    "digest_of",
    "encode",
    "read_file",
    "remove_unfinished",
    "replacing",
    "write_file",
]
