"""The package as a whole."""

import json
import re
from pathlib import Path

import skvae
from helpers import run_python

ROOT = Path(__file__).parents[1]


def test_importing_the_package_loads_little_beyond_torch_and_scikit_learn():
    program = """
import sys
import torch, sklearn.impute, sklearn.model_selection, sklearn.preprocessing
before = {name.partition(".")[0] for name in sys.modules}
import skvae
after = {name.partition(".")[0] for name in sys.modules}
print(sorted(after - before - set(sys.stdlib_module_names)))
import skvae.displays
assert "matplotlib" not in sys.modules
"""
    assert run_python(program).stdout.strip() == "['safetensors', 'skvae']"


def test_every_public_name_exists_and_is_documented():
    assert skvae.__all__ == sorted(skvae.__all__)
    for name in skvae.__all__:
        assert getattr(skvae, name).__doc__


def test_hooks_run_the_ruff_of_tox():
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    version = re.search(r"ruff-pre-commit\n\s+rev: v([\d.]+)", hooks)[1]
    assert f"ruff=={version}" in (ROOT / "tox.ini").read_text()


def test_the_version_switcher_of_the_documentation_has_the_version():
    versions = json.loads((ROOT / "docs" / "_static" / "switcher.json").read_text())
    assert skvae.__version__ in [entry["version"] for entry in versions]


def test_classifiers_name_the_versions_of_python_that_are_tested():
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    tested = re.findall(r"3\.\d+", re.search(r"python: \[(.*)\]", workflow)[1])
    named = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text())
    assert named == tested
