"""Small numerical tools that more than one module needs."""

from __future__ import annotations

import torch
from torch import Tensor


def soft_clamp(x: Tensor, limit: float) -> Tensor:
    """Squash `x` smoothly into (-limit, limit), with slope 1 at the origin.

    ``limit * x / (limit + |x|)``. Unlike `clamp` and `tanh`, the gradient only decays
    with the square of `x`: a value that ran away can always find its way back.
    """
    return x / (1 + x.abs() / limit)


def soft_clamp_inverse(y: Tensor, limit: float) -> Tensor:
    """Return the `x` for which ``soft_clamp(x, limit)`` is `y`, kept clear of the ends."""
    y = y.clamp(-0.9 * limit, 0.9 * limit)
    return y / (1 - y.abs() / limit)


def uniform(shape: torch.Size, generator: torch.Generator, like: Tensor) -> Tensor:
    """Draw from the open interval (0, 1): never 0, so that a logarithm stays finite."""
    u = torch.rand(shape, generator=generator, dtype=like.dtype, device=like.device)
    eps = torch.finfo(like.dtype).eps
    return u.clamp(eps, 1 - eps)
