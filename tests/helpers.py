"""Helpers of several test modules."""

import random
import socket
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pandas as pd
import torch
from torch import nn

from skvae.models import VAE, VAEConfig

# ---- Numbers -------------------------------------------------------------------------


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def f64(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    """Return standard normal numbers in double precision."""
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def _global_random_states():
    # A few draws change the position of NumPy's generator, but usually not the key.
    algorithm, key, *position = np.random.get_state()
    return {
        "random": random.getstate(),
        "NumPy": (algorithm, key.tolist(), *position),
        "torch": torch.get_rng_state().tolist(),
    }


@contextmanager
def unchanged_random_states():
    """Check that the block does not change the global random states."""
    before = _global_random_states()
    yield
    after = _global_random_states()
    changed = [name for name, state in before.items() if after[name] != state]
    assert not changed, f"changed global random states: {', '.join(changed)}"


# ---- Models --------------------------------------------------------------------------

# Parameters of an estimator that trains fast.
FAST = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0}


def build_vae(n_features: int = 4, latent_dim: int = 2, *, seed: int = 0, **options) -> VAE:
    """Return a small model in single precision with the initial weights of the seed."""
    config = {
        "n_features": n_features,
        "latent_dim": latent_dim,
        "architecture": "mlp",
        "hidden_layer_sizes": (6,),
        "activation": "tanh",
        "image_shape": None,
        "likelihood": "gaussian",
        "prior_std": 1.0,
    }
    module = VAE(VAEConfig(**config | options), seeded(seed))
    module.initialize_prior(normal(10, n_features, seed=seed).float(), seeded(seed))
    return module


def linear_networks(n_features, latent_dim, n_outputs):
    """Build a custom encoder and decoder with the initial weights that torch draws."""
    return nn.Linear(n_features, 2 * latent_dim), nn.Linear(latent_dim, n_outputs)


def dropout_networks(n_features, latent_dim, n_outputs):
    """Build custom networks that draw random numbers in training and keep running statistics."""
    encoder = nn.Sequential(
        nn.Linear(n_features, 8),
        nn.BatchNorm1d(8),
        nn.Dropout(),
        nn.ELU(),
        nn.Linear(8, 2 * latent_dim),
    )
    return encoder, nn.Linear(latent_dim, n_outputs)


def same_weights(first: nn.Module, second: nn.Module) -> bool:
    """Compare the states of two modules bit for bit."""
    state, other = first.state_dict(), second.state_dict()
    return state.keys() == other.keys() and all(
        torch.equal(state[name], other[name]) for name in state
    )


def assert_same_fit(first, second):
    """Check that two fitted estimators have the same history and weights, bit for bit."""
    assert first.history_ == second.history_
    assert same_weights(first.module_, second.module_)


def free_port() -> str:
    """Return a free port of this machine, for the main process of a distributed run."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return str(server.getsockname()[1])


def image_grid(display) -> np.ndarray:
    """Return the pixels of the grid of images that a display has drawn."""
    return np.asarray(display.ax_.images[0].get_array())


# ---- Tables --------------------------------------------------------------------------

# Parameters of a TabularVAE that trains fast.
FAST_TABULAR = {"latent_dim": 3, "hidden_layer_sizes": (16,), "max_iter": 3, "random_state": 0}
ZERO_RATES = {"p": 0.7, "q": 0.1, "r": 0.4}
CENTRES = {"p": 3, "q": 6, "r": 12}
B_OF_A = {"p": "x", "q": "y", "r": "x"}


def mixed_table(n=300):
    """Return a frame with columns of all types, half of them with missing values."""
    rng = np.random.RandomState(0)
    start = pd.Timestamp("2024-01-01")
    words = rng.choice(["apple", "pear", "fig"], n, p=[0.6, 0.3, 0.1])
    grades = pd.Categorical(rng.choice(list("low"), n), categories=list("wolt"), ordered=True)
    frame = pd.DataFrame(
        {
            "count": rng.poisson(4, n),
            "small": rng.randint(-128, 128, n).astype(np.int8),
            "wide": rng.lognormal(3, 1, n),
            "single": rng.normal(size=n).astype(np.float32),
            "price": rng.lognormal(2, 1, n).round(2),
            "inflated": np.where(rng.uniform(size=n) < 0.4, 0.0, rng.lognormal(size=n)),
            "truth": rng.uniform(size=n) < 0.3,
            "word": words,
            "fruit": pd.Categorical(words, categories=["fig", "pear", "none", "apple"]),
            "grade": grades,
            "day": start + pd.to_timedelta(rng.randint(0, 300, n), unit="D"),
            "hour": (start + pd.to_timedelta(rng.randint(0, 300, n), unit="h")).tz_localize("UTC"),
            "lapse": pd.to_timedelta(rng.randint(0, 3000, n), unit="min"),
        }
    )
    for number, (name, dtype) in enumerate(
        {
            "count": "Int64",
            "wide": "float64",
            "single": "Float64",
            "truth": "boolean",
            "word": "string",
            "grade": grades.dtype,
            "day": frame["day"].dtype,
            "lapse": frame["lapse"].dtype,
        }.items()
    ):
        hidden = np.random.RandomState(number).uniform(size=n) < 0.3
        frame[f"some {name}"] = frame[name].astype(dtype).mask(hidden)
    return frame


def dependent_table(n=2000):
    """Return a frame in which `a` determines `b`, and `c` is a mixture that depends on `a`."""
    rng = np.random.RandomState(0)
    a = pd.Series(rng.choice(list("pqr"), n, p=[0.5, 0.3, 0.2]))
    is_zero = rng.uniform(size=n) < a.map(ZERO_RATES)
    sign = np.where((a == "r") & (rng.uniform(size=n) < 0.5), -1, 1)
    c = np.where(is_zero, 0.0, sign * rng.normal(a.map(CENTRES), 0.5))
    return pd.DataFrame({"a": a, "b": a.map(B_OF_A), "c": c})


def assert_like(table, X):
    """Check that a table has the columns, dtypes, categories and ranges of X."""
    assert isinstance(table, pd.DataFrame)
    assert table.columns.equals(X.columns)
    for name in X:
        values, seen = table[name], X[name]
        assert values.dtype == seen.dtype
        if isinstance(seen.dtype, pd.CategoricalDtype):
            assert values.cat.categories.equals(seen.cat.categories)
        if not seen.isna().any():
            assert not values.isna().any()
        is_number = pd.api.types.is_numeric_dtype(seen.dtype) or seen.dtype.kind in "mM"
        if is_number and not pd.api.types.is_bool_dtype(seen.dtype):
            assert values.dropna().between(seen.min(), seen.max()).all()
        else:
            assert values.dropna().isin(seen.unique()).all()
    if "price" in table:
        assert (table["price"].round(2) == table["price"]).all()
    if "day" in table:
        assert (table["day"] == table["day"].dt.normalize()).all()


def change(X, **values):
    """Return X with new values in the named columns."""
    return X.assign(**{name.replace("_", " "): value for name, value in values.items()})


def equal_frames(one, other):
    try:
        pd.testing.assert_frame_equal(one, other)
    except AssertionError:
        return False
    return True


# ---- System --------------------------------------------------------------------------


def full_disk(*args, **kwargs):
    """Stand in for a function of the operating system on a disk without space."""
    raise OSError(28, "No space left on device")


def run_python(program: str, *arguments, flags=()) -> subprocess.CompletedProcess:
    """Run a program in a new process, and return what the program wrote."""
    command = [sys.executable, *flags, "-c", program, *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run
