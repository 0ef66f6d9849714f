"""Optimizer steps, by the functional forms of torch's optimizers."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.rmsprop import rmsprop

# torch's defaults.
_ADAM: dict[str, Any] = {
    "amsgrad": False,
    "beta1": 0.9,
    "beta2": 0.999,
    "eps": 1e-8,
    "maximize": False,
}
_RMSPROP: dict[str, Any] = {
    "alpha": 0.99,
    "eps": 1e-8,
    "weight_decay": 0,
    "momentum": 0,
    "centered": False,
}


class Optimizer:
    """Adam, AdamW or RMSprop with torch's defaults and one learning rate for all parameters.

    For small networks, the overhead of torch's optimizer classes exceeds the arithmetic of a step.
    The first optimizer object of a program also imports torch's compiler, and this import takes
    longer than most fits.

    Parameters
    ----------
    solver : {"adam", "adamw", "rmsprop"}
    parameters : iterable of Tensor
        Parameters on one device.
    """

    def __init__(self, solver: str, parameters: Iterable[Tensor]) -> None:
        self.parameters = list(parameters)
        # Running means of squared gradients. Adam also keeps running means of gradients, first.
        self._averages = [
            [torch.zeros_like(p) for p in self.parameters]
            for _ in range(1 if solver == "rmsprop" else 2)
        ]
        self._steps = [
            torch.zeros((), dtype=torch.float32, device=p.device) for p in self.parameters
        ]
        # A single kernel for all parameters, on devices that support fused updates.
        fused = all(p.device.type in ("cpu", "cuda") for p in self.parameters)
        self._update: partial[None]
        if solver == "rmsprop":
            self._update = partial(rmsprop, **_RMSPROP)
        elif solver == "adamw":
            self._update = partial(adamw, fused=fused, weight_decay=0.01, **_ADAM)
        else:
            self._update = partial(adam, fused=fused, weight_decay=0, **_ADAM)

    def zero_grad(self) -> None:
        """Discard the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Update the parameters that have a gradient."""
        updated = [index for index, p in enumerate(self.parameters) if p.grad is not None]

        def select(tensors: list[Tensor]) -> list[Tensor]:
            return [tensors[index] for index in updated]

        parameters = select(self.parameters)
        gradients = [p.grad for p in parameters]
        averages = [select(tensors) for tensors in self._averages]
        # State of variants that are not in use.
        unused: list[list[Tensor]] = [[] for _ in range(3 - len(averages))]
        state = [*averages, *unused, select(self._steps)]
        self._update(parameters, gradients, *state, lr=learning_rate)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for `load_state_dict`."""
        return {"averages": self._averages, "steps": self._steps}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        for own, saved in zip(self._averages, state["averages"], strict=True):
            _copy(own, saved)
        _copy(self._steps, state["steps"])


def _copy(tensors: list[Tensor], source: list[Tensor]) -> None:
    for tensor, value in zip(tensors, source, strict=True):
        tensor.copy_(value)
