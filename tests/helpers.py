"""Helpers that several test modules share."""

import random
from contextlib import contextmanager

import numpy as np
import torch

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
