"""Optimizer steps, by the functional forms of torch's optimizers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import compress
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
    """Adam, AdamW or RMSprop with torch's defaults, and learning rates for groups of parameters.

    For small networks, the overhead of torch's optimizer classes exceeds the arithmetic of a step.
    The first optimizer object of a program also imports torch's compiler, and this import takes
    longer than most fits.

    Parameters
    ----------
    solver : {"adam", "adamw", "rmsprop"}
    groups : sequence of (float, list of Tensor)
        Groups of parameters on one device, with factors of the learning rate.
    """

    def __init__(self, solver: str, groups: Sequence[tuple[float, Sequence[Tensor]]]) -> None:
        n_averages = 1 if solver == "rmsprop" else 2
        self._groups = [_Group(factor, list(params), n_averages) for factor, params in groups]
        device = self._groups[0].parameters[0].device.type
        self._update: partial[None]
        if solver == "rmsprop":
            # On a GPU, the rate is a tensor.
            self._update = partial(rmsprop, capturable=device == "cuda", **_RMSPROP)
        else:
            # A single kernel for all parameters of a group, on devices that have such a kernel.
            fused = device in ("cpu", "cuda")
            update, weight_decay = (adamw, 0.01) if solver == "adamw" else (adam, 0.0)
            self._update = partial(update, fused=fused, weight_decay=weight_decay, **_ADAM)

    def zero_grad(self) -> None:
        """Discard the gradients."""
        for group in self._groups:
            for parameter in group.parameters:
                parameter.grad = None

    def gradients(self) -> list[Tensor]:
        """Return the gradients of all parameters that have a gradient."""
        parameters = [p for group in self._groups for p in group.parameters]
        return [p.grad for p in parameters if p.grad is not None]

    @torch.no_grad()
    def step(self, learning_rate: float | Tensor) -> None:
        """Update the parameters that have a gradient.

        Parameters
        ----------
        learning_rate : float or Tensor of shape ()
            Rate of a group with factor 1. RMSprop takes a tensor on a GPU only.
        """
        for group in self._groups:
            parameters, gradients, averages, steps = group.with_gradients()
            # State of variants that are not in use.
            unused: list[list[Tensor]] = [[] for _ in range(3 - len(averages))]
            state = [*averages, *unused, steps]
            self._update(parameters, gradients, *state, lr=group.factor * learning_rate)

    def state_dict(self) -> list[dict[str, Any]]:
        """Return the state for `load_state_dict`."""
        return [{"averages": group.averages, "steps": group.steps} for group in self._groups]

    @torch.no_grad()
    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        """Continue from a saved state."""
        for group, saved in zip(self._groups, state, strict=True):
            for own, averages in zip(group.averages, saved["averages"], strict=True):
                _copy(own, averages)
            _copy(group.steps, saved["steps"])


class _Group:
    """Parameters with a common learning rate, and their state."""

    def __init__(self, factor: float, parameters: list[Tensor], n_averages: int) -> None:
        self.factor = factor
        self.parameters = parameters
        # Running means of squared gradients. Adam also keeps running means of gradients, first.
        self.averages = [[torch.zeros_like(p) for p in parameters] for _ in range(n_averages)]
        self.steps = [torch.zeros((), dtype=torch.float32, device=p.device) for p in parameters]

    def with_gradients(
        self,
    ) -> tuple[list[Tensor], list[Tensor], list[list[Tensor]], list[Tensor]]:
        """Return the parameters that have a gradient, their gradients, averages and steps."""
        has_grad = [p.grad is not None for p in self.parameters]
        parameters = [*compress(self.parameters, has_grad)]
        averages = [[*compress(tensors, has_grad)] for tensors in self.averages]
        gradients = [p.grad for p in parameters if p.grad is not None]
        return parameters, gradients, averages, [*compress(self.steps, has_grad)]


def _copy(tensors: list[Tensor], source: list[Tensor]) -> None:
    for tensor, value in zip(tensors, source, strict=True):
        tensor.copy_(value)
