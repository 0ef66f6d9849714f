"""Some files of the fuzzer. `python tests/fuzz_load.py --n 5000` tries more."""

import sys

import pytest

import fuzz_load


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="measures memory as Linux does")
@pytest.mark.torch_only
def test_mutated_files_are_refused_or_load_within_limits(tmp_path):
    result = fuzz_load.run(180, seed=0, folder=tmp_path)
    assert result["faults"] == []
    counts = result["counts"]
    # The mutations reach the decoder, the checks and the module.
    assert counts["node, loaded"] > 1
    assert counts["node, ValueError"] > 60
