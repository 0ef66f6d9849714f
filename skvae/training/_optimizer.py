"""Steps down a gradient, by the functional forms of torch's optimisers."""

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
    """Adam, AdamW or RMSprop with torch's defaults, for parameters that share a learning rate.

    torch's own classes spend more time on a step of a small network than its arithmetic does,
    and the first of them in a program imports torch's compiler, which takes longer than most
    fits.

    Parameters
    ----------
    solver : {"adam", "adamw", "rmsprop"}
    parameters : iterable of Tensor
        All on one device.
    """

    def __init__(self, solver: str, parameters: Iterable[Tensor]) -> None:
        self.parameters = list(parameters)
        # Running means of squared gradients, and for Adam before them those of the gradients.
        self._averages = [
            [torch.zeros_like(p) for p in self.parameters]
            for _ in range(1 if solver == "rmsprop" else 2)
        ]
        self._steps = [torch.zeros((), device=p.device) for p in self.parameters]
        # One kernel for all parameters, where the device has it.
        fused = all(p.device.type in ("cpu", "cuda") for p in self.parameters)
        self._update: partial[None]
        if solver == "rmsprop":
            self._update = partial(rmsprop, **_RMSPROP)
        elif solver == "adamw":
            self._update = partial(adamw, fused=fused, weight_decay=0.01, **_ADAM)
        else:
            self._update = partial(adam, fused=fused, weight_decay=0, **_ADAM)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Move the parameters that have a gradient against it."""
        moved = [index for index, p in enumerate(self.parameters) if p.grad is not None]

        def of_moved(tensors: list[Tensor]) -> list[Tensor]:
            return [tensors[index] for index in moved]

        parameters = of_moved(self.parameters)
        gradients = [p.grad for p in parameters]
        averages = [of_moved(tensors) for tensors in self._averages]
        unused: list[list[Tensor]] = [[] for _ in range(3 - len(averages))]  # of other variants
        state = [*averages, *unused, of_moved(self._steps)]
        self._update(parameters, gradients, *state, lr=learning_rate)

    def state(self) -> dict[str, Any]:
        """Return what steps have left, for `restore`."""
        return {"averages": self._averages, "steps": self._steps}

    @torch.no_grad()
    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where another optimiser was when it returned that state."""
        for own, saved in zip(self._averages, state["averages"], strict=True):
            _copy(own, saved)
        _copy(self._steps, state["steps"])


def _copy(tensors: list[Tensor], source: list[Tensor]) -> None:
    for tensor, value in zip(tensors, source, strict=True):
        tensor.copy_(value)
