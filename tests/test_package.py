"""The package as a whole."""

import subprocess
import sys

import skvae


def test_importing_the_package_loads_little_beyond_torch_and_scikit_learn():
    program = """
import sys
import torch, sklearn.impute, sklearn.model_selection, sklearn.preprocessing
before = {name.partition(".")[0] for name in sys.modules}
import skvae
after = {name.partition(".")[0] for name in sys.modules}
print(sorted(after - before - set(sys.stdlib_module_names)))
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "['safetensors', 'skvae']"


def test_every_public_name_exists_and_is_documented():
    assert skvae.__all__ == sorted(skvae.__all__)
    for name in skvae.__all__:
        assert getattr(skvae, name).__doc__
