"""Small models, rows and configurations for tests of training."""

import numpy as np
import torch

from helpers import build_vae, normal
from skvae.models import VAE
from skvae.training._batches import Rows
from skvae.training._config import TrainingConfig
from skvae.training._loop import LoopCallback, TrainingLoop
from skvae.training._trainer import Trainer

CPU = torch.device("cpu")
N_FEATURES, LATENT_DIM = 4, 2


def rows(n: int = 50, seed: int = 0) -> Rows:
    """Return rows near a plane, as float32."""
    plane = normal(2, N_FEATURES, seed=99)
    X = normal(n, 2, seed=seed) @ plane + 0.1 * normal(n, N_FEATURES, seed=seed + 1)
    return Rows(X.numpy().astype(np.float32), CPU)


def build(*, seed: int = 0, **options) -> VAE:
    return build_vae(N_FEATURES, LATENT_DIM, seed=seed, **options)


def make_config(**options) -> TrainingConfig:
    defaults = {
        "solver": "adam",
        "learning_rate": "constant",
        "learning_rate_init": 0.01,
        "batch_size": 16,
        "max_iter": 4,
    }
    return TrainingConfig(**defaults | options)


def fit(module: VAE, config: TrainingConfig, *, seed: int = 0, data: Rows | None = None):
    """Train to the end without validation rows, and return the history."""
    loop = TrainingLoop(Trainer(module, config, seed), data or rows())
    loop.run()
    return loop.history


class Observer(LoopCallback):
    """Calls a function after each epoch, and stops training if the function returns True."""

    def __init__(self, function):
        self.function = function

    def on_epoch_end(self, loop):
        return bool(self.function(loop))
