"""Random generators: `random_state` as in scikit-learn, and the generators of torch."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch import Generator

from ._fork import fork_gate, run_in_child

_GLOBAL_RNG_LOCK = threading.RLock()


def _renew_lock() -> None:
    """Replace the lock in a forked process, where a thread that holds the lock does not exist."""
    global _GLOBAL_RNG_LOCK
    _GLOBAL_RNG_LOCK = threading.RLock()


run_in_child(_renew_lock)


def local_random_state(random_state: Any) -> np.random.RandomState:
    """Return ``check_random_state(random_state)``, but a new generator for None.

    For None, scikit-learn returns the global generator of NumPy, and draws would change its state.
    """
    return np.random.RandomState() if random_state is None else check_random_state(random_state)


def draw_seed(rng: np.random.RandomState) -> int:
    """Draw a seed."""
    return int(rng.randint(2**31 - 1))


def seeded_generator(seed: int, device: torch.device | str = "cpu") -> Generator:
    """Return a new torch generator on a device. Global random states stay untouched."""
    return Generator(device=device).manual_seed(seed)


@contextmanager
def exclusive_global_rng() -> Iterator[None]:
    """Keep other threads of skvae from using torch's global generators in this context."""
    lock = _GLOBAL_RNG_LOCK
    with fork_gate.idle():  # another thread may hold the lock for an epoch
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def seeded_global_rng(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators for custom code, and restore their states afterwards.

    The generators belong to the whole process, so threads that need the generators take turns.
    """
    cuda = [device] if device.type == "cuda" else []
    with exclusive_global_rng(), torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(seed)
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


def global_rng_states(device: torch.device) -> list[torch.Tensor]:
    """Return the states of torch's global generators, of the CPU and of a CUDA device."""
    states = [torch.random.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


def restore_global_rng(states: list[torch.Tensor], device: torch.device) -> None:
    """Set the states of torch's global generators, as returned by `global_rng_states`."""
    torch.random.set_rng_state(states[0])
    if device.type == "cuda" and len(states) > 1:
        torch.cuda.set_rng_state(states[1], device)
