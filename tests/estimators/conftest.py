"""Tables of mixed columns, and models of these tables."""

import pytest

from helpers import FAST_TABULAR, dependent_table, mixed_table
from skvae import TabularVAE


@pytest.fixture(scope="session")
def mixed():
    return mixed_table()


@pytest.fixture(scope="session")
def mixed_vae(mixed):
    return TabularVAE(**FAST_TABULAR).fit(mixed)


@pytest.fixture(scope="session")
def dependent():
    return dependent_table()


@pytest.fixture(scope="session")
def dependent_vae(dependent):
    params = {**FAST_TABULAR, "latent_dim": 4, "hidden_layer_sizes": (32,), "max_iter": 20}
    return TabularVAE(**params).fit(dependent)
