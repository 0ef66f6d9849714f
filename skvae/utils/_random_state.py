"""The estimator's `random_state`, as scikit-learn has it, and the seeds that come of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_random_state


def local_random_state(random_state: Any) -> np.random.RandomState:
    """Return `check_random_state(random_state)`, save that None is fresh entropy.

    scikit-learn takes None to be NumPy's global generator, and so moves it on.
    """
    return np.random.RandomState() if random_state is None else check_random_state(random_state)


def draw_seed(rng: np.random.RandomState) -> int:
    """Return the next seed of scikit-learn's kind of generator."""
    return int(rng.randint(2**31 - 1))
