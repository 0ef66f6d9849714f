"""Fixtures of several test modules."""

import os
import signal
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from sklearn.datasets import load_digits, load_wine

from skvae.likelihoods import _column_bins

pytest.register_assert_rewrite("helpers")

# Number of inputs for tests of properties. The profile "ci" repeats the same inputs.
_COMMON = {"deadline": None, "print_blob": True, "suppress_health_check": list(HealthCheck)}
settings.register_profile("ci", max_examples=20, derandomize=True, database=None, **_COMMON)
settings.register_profile("long", max_examples=2000, **_COMMON)
settings.load_profile("ci")


@pytest.fixture
def interruptible():
    """Let SIGINT raise KeyboardInterrupt, as in a process in the foreground."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, handler)


@pytest.fixture
def two_threads():
    """Let torch use two threads, as on a machine of two cores."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="session")
def fresh_processes():
    """Context of multiprocessing for new processes that have imported skvae.

    The processes are forks of one server, so each process starts fast. Windows has no forks.
    """
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload(["skvae", "matplotlib.pyplot"])
    return context


@pytest.fixture(scope="session")
def wine():
    return load_wine().data


@pytest.fixture(scope="session")
def digits():
    """Pixels of scikit-learn's digits in [0, 1], without the three constant pixels."""
    X = load_digits().data / 16
    return X[:, X.std(axis=0) > 0]


@pytest.fixture(scope="session")
def blobs():
    """Three well-separated clusters in six dimensions on different scales."""
    rng = np.random.RandomState(0)
    centres = rng.normal(scale=5, size=(3, 6))
    X = centres[rng.randint(3, size=90)] + rng.normal(size=(90, 6))
    return X * [1, 10, 100, 1e3, 1e-3, 1e-6] + [0, 5, -1e3, 1e5, 1, 0]


@pytest.fixture(scope="session")
def data_folder():
    """Folder with the real data sets."""
    folder = os.environ.get("SKVAE_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs real data: set SKVAE_DATA to the folder that contains mnist/ and others")
    return Path(folder)


@pytest.fixture(params=[1000, 0], ids=["one step", "two steps"])
def sampling_steps(request, monkeypatch):
    """Sample bins in one step, or levels first, as in columns with very many bins."""
    monkeypatch.setattr(_column_bins, "_MAX_DIRECT_BINS", request.param)
