"""Helpers that several test modules share."""

import random
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from skvae.models._vae import VAE, VAEConfig

# ---- Random numbers ------------------------------------------------------------------


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    """Return standard normal numbers in double precision."""
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def _global_random_states():
    # The few numbers that a fit might draw change NumPy's position, but hardly ever its key.
    algorithm, key, *position = np.random.get_state()
    return {
        "random": random.getstate(),
        "NumPy": (algorithm, key.tolist(), *position),
        "torch": torch.get_rng_state().tolist(),
    }


@contextmanager
def unchanged_random_states():
    """Check that the block leaves the global random states as they were."""
    before = _global_random_states()
    yield
    after = _global_random_states()
    changed = [name for name, state in before.items() if after[name] != state]
    assert not changed, f"global random states that changed: {', '.join(changed)}"


# ---- Models --------------------------------------------------------------------------

# Parameters of an estimator that trains in a moment.
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
    return VAE(VAEConfig(**config | options), seeded(seed))


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


def image_grid(display) -> np.ndarray:
    """Return the pixels of the grid of images that a display has drawn."""
    return np.asarray(display.ax_.images[0].get_array())


# ---- Surroundings --------------------------------------------------------------------


def full_disk(*args, **kwargs):
    """Stand in for a function of the operating system on a disk without space."""
    raise OSError(28, "No space left on device")


def run_python(program: str, *arguments, flags=()) -> subprocess.CompletedProcess:
    """Run a program in a new process, and return what the program wrote."""
    command = [sys.executable, *flags, "-c", program, *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run
