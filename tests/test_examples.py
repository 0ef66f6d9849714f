"""The examples run from start to end, here with a small part of their work."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("plot_*.py"))

# Runs a script with few rows and one epoch a fit, and without a screen.
QUICKLY = """
import runpy, sys
import matplotlib
matplotlib.use("Agg")
from matplotlib import pyplot
pyplot.show = lambda: None

from skvae import datasets
from skvae._base import BaseVAE

def few_rows(fetch, n_rows=400):
    def fetch_few(**options):
        bunch = fetch(**options)
        bunch.data, bunch.target = bunch.data[:n_rows], bunch.target[:n_rows]
        bunch.frame = None if bunch.frame is None else bunch.frame[:n_rows]
        return bunch
    return fetch_few

for name in ("fetch_mnist", "fetch_fashion_mnist", "fetch_susy", "fetch_adult"):
    setattr(datasets, name, few_rows(getattr(datasets, name)))

fit = BaseVAE.fit
def fit_one_epoch(self, X, y=None):
    asked = self.max_iter
    try:
        return fit(self.set_params(max_iter=1), X, y)
    finally:
        self.set_params(max_iter=asked)
BaseVAE.fit = fit_one_epoch

sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
print(len(pyplot.get_fignums()), "figures")
"""


def run_quickly(script, folder, *arguments):
    """Run a script with `folder` as the current one and return what it printed."""
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error::FutureWarning",
            "-c",
            QUICKLY,
            EXAMPLES / script,
            *arguments,
        ],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_examples():
    assert len(SCRIPTS) == 9


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_examples_run(script, tmp_path, data_folder):
    out = run_quickly(script, tmp_path)
    assert int(out.split()[-2]) >= 1


@pytest.mark.parametrize(
    "data",
    [
        "digits",
        *(pytest.param(d, marks=pytest.mark.slow) for d in ("mnist", "fashion-mnist", "susy")),
    ],
)
def test_the_main_job_writes_a_figure_and_a_table(data, tmp_path, request):
    if data != "digits":
        request.getfixturevalue("data_folder")
    out = run_quickly("compare_embeddings.py", tmp_path, "--data", data, "--rows", "300")
    assert (tmp_path / f"embeddings-{data}.png").stat().st_size > 10_000
    table = (tmp_path / f"embeddings-{data}.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in table] == ["method", "PCA", "t-SNE", "VAE"]
    assert "300 rows" in out
