"""Many fits in one process leave no memory, objects, files, threads or processes behind.

The environment variable SKVAE_FITS sets the number of fits:
``SKVAE_FITS=1000 pytest -s tests/estimators/test_resources.py``.
"""

import gc
import multiprocessing
import os
import pickle
import sys
import threading
import weakref
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from skvae import TabularVAE, VAEImputer, VAEOutlierDetector, VAETransformer

pytestmark = pytest.mark.torch_only

N_FITS = int(os.environ.get("SKVAE_FITS", "20"))
N_WARM_UP = 10  # what is imported, compiled and cached once
# A model below fills about a third of a MiB, with its optimiser's state.
MOST_GROWTH = 4 * 2**20

PARAMS = {"hidden_layer_sizes": (128, 64), "max_iter": 1, "batch_size": 20, "random_state": 0}
rng = np.random.RandomState(0)
X = rng.normal(size=(40, 50))
X_MISSING = np.where(rng.uniform(size=X.shape) < 0.2, np.nan, X)
FRAME = pd.DataFrame(
    {
        "number": X[:, 0],
        "word": np.where(X[:, 1] > 0, "up", "down"),
        "day": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.randint(99, size=40), unit="D"),
    }
)


def transformer():
    vae = VAETransformer(early_stopping=True, **PARAMS).fit(X).partial_fit(X)
    vae.score(X)
    vae.sample(3)
    pickle.loads(pickle.dumps(vae)).inverse_transform(vae.transform(X))


def own_networks():
    from torch import nn

    def networks(n_features, latent_dim, n_outputs):
        return nn.Linear(n_features, 2 * latent_dim), nn.Linear(latent_dim, n_outputs)

    VAETransformer(architecture=networks, **PARAMS).fit(X).transform(X)


def detector():
    VAEOutlierDetector(**PARAMS).fit(X).explain(X)


def imputer():
    params = {**PARAMS, "n_training_draws": 2, "n_importance_samples": 5}
    vae = VAEImputer(**params).fit(X_MISSING)
    vae.transform(X_MISSING)
    vae.sample_imputations(X_MISSING, 2)


def tabular():
    vae = TabularVAE(**PARAMS).fit(FRAME)
    vae.reconstruct(FRAME)
    vae.sample(3, conditions={"word": "up"})


def failure():
    with pytest.raises(ValueError, match="diverged"):
        VAETransformer(learning_rate_init=1e30, **PARAMS).fit(X)


class Held(NamedTuple):
    """What the process holds."""

    memory: int  # bytes
    objects: int
    files: int
    threads: int
    processes: int


def held():
    gc.collect()
    return Held(
        memory=int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"),
        # pandas keeps dead references to views of a frame until there are some hundred.
        objects=sum(type(o) is not weakref.ReferenceType for o in gc.get_objects()),
        files=len(list(Path("/proc/self/fd").iterdir())),
        threads=len(list(Path("/proc/self/task").iterdir())) + threading.active_count(),
        processes=len(multiprocessing.active_children()),
    )


def before_and_after(use):
    for _ in range(N_WARM_UP):
        use()
    before = held()
    for _ in range(N_FITS):
        use()
    return before, held()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    "use",
    [transformer, own_networks, detector, imputer, tabular, failure],
    ids=lambda f: f.__name__,
)
def test_many_fits_leave_nothing_behind(use, fresh_processes):
    # In a process of their own: what other tests have started still works in this one.
    with ProcessPoolExecutor(1, mp_context=fresh_processes) as process:
        before, after = process.submit(before_and_after, use).result()
    print(f"\n{use.__name__}, {N_FITS} fits: {before} -> {after}")
    assert after.memory - before.memory < MOST_GROWTH
    assert after.objects - before.objects < N_FITS / 2  # less than one for each fit
    assert after[2:] == before[2:]
