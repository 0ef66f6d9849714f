"""Clipping of gradients by their norm."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

# Largest norm of a gradient, as a multiple of the running mean of the norms before.
# Ordinary norms stay within twice the running value, and harmful norms exceed it 100 times.
_MAX_RATIO = 3.0
# Decay of the running mean per step. After a lasting rise of the norms, the limit follows within a
# few dozen steps.
_DECAY = 0.95


class GradientClipping:
    """Limits the norm of all gradients together to a multiple of its running mean.

    The limit has no unit, so it suits any loss and any network. A single row with an extreme loss
    would otherwise dominate Adam's averages of gradients for ten steps and of squared gradients for
    a thousand steps, while the other rows hardly count: a frequent cause of posterior collapse.
    Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", ICML
    2013, clip at a fixed norm.

    All computations are tensor operations, without a transfer from the device.

    Parameters
    ----------
    device : torch.device
    """

    def __init__(self, device: torch.device) -> None:
        # Exponentially weighted sums of the norms and of ones.
        self._sum, self._weight = torch.zeros(2, dtype=torch.float32, device=device)
        self._one = torch.ones_like(self._weight)

    @torch.no_grad()
    def clip(self, gradients: list[Tensor]) -> None:
        """Scale gradients in place if their common norm exceeds the limit.

        Gradients that are not finite do not become finite, so training diverges visibly.
        """
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        limit = _MAX_RATIO * self._sum / self._weight
        # The first step has no limit.
        scale = torch.where(self._sum > 0, (limit / norm).clamp(max=1.0), self._one)
        torch._foreach_mul_(gradients, scale)
        self._sum.lerp_(scale * norm, 1 - _DECAY)
        self._weight.lerp_(self._one, 1 - _DECAY)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for `load_state_dict`."""
        return {"sum": self._sum, "weight": self._weight}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self._sum.copy_(state["sum"])
        self._weight.copy_(state["weight"])
