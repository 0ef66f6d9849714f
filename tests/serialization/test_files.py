"""Files of arrays and a document: the digest detects every change."""

import hashlib
import json

import numpy as np
import pytest
from safetensors import safe_open

from skvae.serialization._files import read_file, write_file


@pytest.fixture
def small_file(tmp_path):
    """Return a file with text, a number that has two spellings, and arrays."""
    path = tmp_path / "small"
    document = {"é": '\u2028"', "number": 0.30000000000000004, "digest": "0" * 64}
    write_file(path, document, {"a": np.arange(3, dtype=np.int16), "b": np.zeros((0, 2))})
    return path


def test_every_flipped_bit_is_detected(small_file):
    content = small_file.read_bytes()
    for at in range(len(content)):
        for bit in range(8):
            small_file.write_bytes(
                content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]
            )
            with pytest.raises(ValueError, match=r"damaged|not written by skvae|has format"):
                read_file(small_file)


def test_a_number_spelled_differently_is_detected(small_file):
    content = small_file.read_bytes()
    assert float("0.30000000000000003") == 0.30000000000000004
    small_file.write_bytes(content.replace(b"0.30000000000000004", b"0.30000000000000003"))
    with pytest.raises(ValueError, match="digest does not match its content"):
        read_file(small_file)


def test_the_digest_is_computed_with_zeros_in_place_of_the_digest(small_file):
    content = small_file.read_bytes()
    with safe_open(small_file, framework="numpy") as file:
        digest = json.loads(file.metadata()["skvae"])["sha256"]
    blank = content.replace(digest.encode(), b"0" * 64)
    assert hashlib.sha256(blank).hexdigest() == digest
    assert read_file(small_file)[1]["a"].flags.writeable


def test_a_document_that_cannot_be_read_is_not_written(tmp_path):
    path = tmp_path / "large"
    # Brackets in texts are no lists.
    write_file(path, ["[{" * 600_000], {})
    assert read_file(path)[0] == ["[{" * 600_000]
    for document in ([[] for _ in range(600_000)], "x" * 101_000_000):
        with pytest.raises(ValueError, match="too large for a file"):
            write_file(path, document, {})
