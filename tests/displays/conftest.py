"""Small models that the displays draw."""

import matplotlib as mpl
import pytest
from sklearn.datasets import load_digits, load_wine

from helpers import FAST
from skvae import VAEOutlierDetector, VAETransformer

mpl.use("Agg")
from matplotlib import pyplot as plt


@pytest.fixture(autouse=True)
def figures(monkeypatch):
    """Draw and close the figures of a test, and check that no figure is shown."""
    monkeypatch.setattr(plt, "show", lambda: pytest.fail("a display called plt.show"))
    yield
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    plt.close("all")


@pytest.fixture(scope="session")
def images():
    X, y = load_digits(return_X_y=True)
    return X[:300] / 16, y[:300]


@pytest.fixture(scope="session")
def fit(images):
    def fit(latent_dim=2, **params):
        params = {"hidden_layer_sizes": 16, "likelihood": "bernoulli", "max_iter": 2, **params}
        return VAETransformer(latent_dim, random_state=0, **params).fit(images[0])

    return fit


@pytest.fixture(scope="session")
def vae(fit):
    return fit()


@pytest.fixture(scope="session")
def table():
    return load_wine(as_frame=True).data


@pytest.fixture(scope="session")
def detector(table):
    return VAEOutlierDetector(2, **FAST).fit(table)


@pytest.fixture(scope="session")
def table_vae(table):
    return VAETransformer(**FAST).fit(table)


@pytest.fixture(scope="session")
def small_table(table):
    """Return fewer columns, which are drawn faster."""
    return table.iloc[:, :4]


@pytest.fixture(scope="session")
def small_vae(small_table):
    return VAETransformer(**FAST).fit(small_table)
