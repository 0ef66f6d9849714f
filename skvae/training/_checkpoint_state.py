"""The state of a training loop in a checkpoint: checked against the loop that takes it over."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..utils import seeded_generator
from ._loop import TrainingLoop
from ._metrics import LOSSES, EpochMetrics
from ._trainer import Trainer


def restore_state(loop: TrainingLoop, state: Any, device_type: str) -> None:
    """Let a new training loop continue from a state that was read from a file.

    The generator of the posterior draws cannot move to another type of device. There, the seed of
    the run and the number of completed steps determine the following draws.

    Parameters
    ----------
    loop : TrainingLoop
        New loop for the same run.
    state : object
        Result of `TrainingLoop.state_dict`, or anything that a file may contain.
    device_type : str
        Type of the device on which the state arose.

    Raises
    ------
    ValueError
        If the state does not fit the loop.
    """
    is_moved = device_type != loop.trainer.module.bias.device.type
    _check_loop(state, loop, is_moved=is_moved)
    if is_moved:
        state = {**state, "trainer": _reseed(state["trainer"], loop.trainer)}
    loop.load_state_dict(state)


def _reseed(state: dict[str, Any], trainer: Trainer) -> dict[str, Any]:
    """Return the state of a trainer with a new generator of posterior draws."""
    n_steps = 0 if state["within"] is None else state["within"]["n_steps"]
    sequence = np.random.SeedSequence([trainer.seed, state["n_epochs"], n_steps])
    seed = int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))
    noise = seeded_generator(seed, trainer.module.bias.device)
    return {**state, "step": {**state["step"], "noise": noise.get_state()}}


# ---- Checks --------------------------------------------------------------------------


def _check_loop(state: Any, loop: TrainingLoop, *, is_moved: bool) -> None:
    expected = loop.state_dict()
    _check_like(state, dict.fromkeys(expected), "the state")
    _check_trainer(state["trainer"], loop, is_moved=is_moved)
    _check_like(state["stopping"], expected["stopping"], "stopping")
    if state["kept_weights"] is not None:
        _check_like(state["kept_weights"], expected["trainer"]["weights"], "kept_weights")
    _check_history(state["history"], has_validation=loop.validation is not None)
    n_epochs = len(state["history"])
    _check(state["trainer"]["n_epochs"] == n_epochs, "its number of epochs is wrong")
    config, descent_start = loop.trainer.config, state["trainer"]["descent_start"]
    is_possible = 1 <= descent_start <= n_epochs or descent_start == config.max_iter
    _check(is_possible, "the start of its descent is wrong")
    last_epoch = config.last_epoch(descent_start)
    if state["is_finished"] is True:
        is_end = 1 <= n_epochs <= last_epoch and state["trainer"]["within"] is None
    else:
        is_end = state["is_finished"] is False and n_epochs < last_epoch
    _check(is_end, "its number of epochs is wrong")


def _check_trainer(state: Any, loop: TrainingLoop, *, is_moved: bool) -> None:
    expected = loop.trainer.state_dict()
    _check_like(state, dict.fromkeys(expected), "trainer")
    if is_moved:  # the state of the other device's generator has another size
        expected["step"]["noise"] = None
    for name in ("weights", "step", "shuffling", "n_epochs", "descent_start"):
        _check_like(state[name], expected[name], name)
    if state["within"] is not None:
        _check_within(state["within"], loop)


def _check_within(within: Any, loop: TrainingLoop) -> None:
    """Check the state of an interrupted epoch."""
    module, config = loop.trainer.module, loop.trainer.config
    _check_like(within, {"n_steps": 0, "metrics": None, "global_rng_states": None}, "within")
    n_steps, metrics, generators = (within[k] for k in ("n_steps", "metrics", "global_rng_states"))
    in_epoch = 1 <= n_steps < math.ceil(len(loop.rows) / config.batch_size)
    _check(in_epoch, "its number of steps is wrong")
    expected = EpochMetrics(module).state_dict()
    _check_like(metrics, {**expected, "pending": None}, "metrics")
    _check(isinstance(metrics["pending"], list), "its metrics are invalid")
    for step in metrics["pending"]:
        n = step[2].shape[0]
        row = torch.zeros(n, dtype=module.dtype)
        moments = row.new_zeros(n, module.latent_dim)
        _check_like(step, (row, row, moments, moments), "metrics")
    n_generators = (1, 2) if callable(module.config.architecture) else (0,)
    _check(isinstance(generators, list) and len(generators) in n_generators, "generators differ")
    for saved in generators[:1]:
        _check_like(saved, torch.get_rng_state(), "generators")


def _check_history(history: Any, *, has_validation: bool) -> None:
    names = {*LOSSES, "active_units"}
    if has_validation:
        names |= {f"validation_{name}" for name in LOSSES}
    _check(isinstance(history, list), "its history is invalid")
    for metrics in history:
        _check_like(metrics, dict.fromkeys(names), "history")
        for name, value in metrics.items():
            _check(isinstance(value, Real) and math.isfinite(value), f"{name} is not a number")


def _check_like(saved: Any, expected: Any, place: str) -> None:
    """Raise `ValueError` if a value is of another kind, or differs in keys, lengths or shapes.

    None stands for any value.
    """
    if isinstance(expected, Mapping):
        is_like = isinstance(saved, Mapping) and saved.keys() == expected.keys()
        _check(is_like, f"{place} has other names")
        for name, value in expected.items():
            _check_like(saved[name], value, f"{place}.{name}")
    elif isinstance(expected, list | tuple):
        is_like = isinstance(saved, list | tuple) and len(saved) == len(expected)
        _check(is_like, f"{place} has another length")
        for item, value in zip(saved, expected, strict=True):
            _check_like(item, value, place)
    elif isinstance(expected, Tensor):
        is_like = isinstance(saved, Tensor) and saved.shape == expected.shape
        _check(is_like, f"{place} has another shape")
        # Metal has no float64, so precisions may differ between devices.
        is_like = saved.is_floating_point() == expected.is_floating_point()
        _check(is_like, f"{place} has another dtype")
    elif isinstance(expected, int):
        _check(type(saved) is int and saved >= 0, f"{place} is not a number")
    elif expected is not None:
        _check(isinstance(saved, Real) and not math.isnan(saved), f"{place} is not a number")


def _check(condition: bool, reason: str) -> None:
    if not condition:
        raise ValueError(reason)
