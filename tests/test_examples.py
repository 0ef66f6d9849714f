"""All examples, with few rows and one epoch."""

import os
import runpy
import sys
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS, EXAMPLES = ROOT / "docs", ROOT / "examples"
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("plot_*.py"))


def few_rows(fetch, n_rows=400):
    def fetch_few(**options):
        bunch = fetch(**options)
        bunch.data, bunch.target = bunch.data[:n_rows], bunch.target[:n_rows]
        bunch.frame = None if bunch.frame is None else bunch.frame[:n_rows]
        return bunch

    return fetch_few


def with_few_iterations(method, n_iterations):
    def run_with_few(self, X, y=None):
        requested = self.max_iter
        try:
            return method(self.set_params(max_iter=n_iterations), X, y)
        finally:
            self.set_params(max_iter=requested)

    return run_with_few


def work(script, folder, arguments):
    """Run a script in this process with few rows, few iterations and without a screen.

    The output of the script goes to files in `folder`, the working directory of the script.
    """
    os.chdir(folder)
    for stream in ("stdout", "stderr"):
        setattr(sys, stream, open(stream, "w"))  # noqa: SIM115
    warnings.filterwarnings("error", category=FutureWarning)

    import matplotlib as mpl
    from matplotlib import pyplot
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer
    from sklearn.manifold import TSNE

    from skvae import datasets
    from skvae.estimators._base import BaseVAE

    mpl.use("Agg")
    pyplot.show = lambda: None
    for name in ("fetch_mnist", "fetch_fashion_mnist", "fetch_susy", "fetch_adult"):
        setattr(datasets, name, few_rows(getattr(datasets, name)))
    BaseVAE.fit = with_few_iterations(BaseVAE.fit, 1)
    TSNE.fit_transform = with_few_iterations(TSNE.fit_transform, 250)
    IterativeImputer.fit_transform = with_few_iterations(IterativeImputer.fit_transform, 1)

    sys.argv = [str(EXAMPLES / script), *arguments]
    runpy.run_path(sys.argv[0], run_name="__main__")
    print(len(pyplot.get_fignums()), "figures")


@pytest.fixture
def run_quickly(fresh_processes, tmp_path):
    """Return a function that runs a script and returns its output."""

    def run(script, *arguments):
        process = fresh_processes.Process(target=work, args=(script, tmp_path, arguments))
        process.start()
        process.join()
        assert process.exitcode == 0, (tmp_path / "stderr").read_text()
        return (tmp_path / "stdout").read_text()

    return run


def test_the_gallery_has_eleven_scripts():
    assert len(SCRIPTS) == 11


def test_every_picture_of_the_documentation_has_a_script_and_is_small():
    namespace = runpy.run_path(str(DOCS / "update_images.py"))
    pictures = {path.stem: path for path in (DOCS / "images").glob("*.png")}
    assert pictures.keys() == {*namespace["IMAGES"], *namespace["OTHERS"]}
    assert {f"{script}.py" for script, _ in namespace["IMAGES"].values()} <= set(SCRIPTS)
    assert max(path.stat().st_size for path in pictures.values()) < namespace["MAX_BYTES"]
    thumbnails = {path.name for path in (DOCS / "images" / "thumbnails").iterdir()}
    assert {f"{name}.py" for name in namespace["THUMBNAILS"]} == set(SCRIPTS)
    assert thumbnails == {f"{name}.png" for name in namespace["THUMBNAILS"]}
    for script in SCRIPTS:
        assert f'"images/thumbnails/{script[:-3]}.png"' in (EXAMPLES / script).read_text()


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_gallery_scripts_run_and_draw_figures(script, run_quickly, data_folder):
    out = run_quickly(script)
    assert int(out.split()[-2]) >= 1


@pytest.mark.parametrize(
    "data",
    [
        "digits",
        *(pytest.param(d, marks=pytest.mark.slow) for d in ("mnist", "fashion-mnist", "susy")),
    ],
)
def test_compare_embeddings_writes_a_figure_and_a_table(data, run_quickly, tmp_path, request):
    if data != "digits":
        request.getfixturevalue("data_folder")
    out = run_quickly("compare_embeddings.py", "--data", data, "--rows", "300")
    assert (tmp_path / f"embeddings-{data}.png").stat().st_size > 10_000
    table = (tmp_path / f"embeddings-{data}.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in table] == ["method", "PCA", "t-SNE", "VAE"]
    assert "300 rows" in out
