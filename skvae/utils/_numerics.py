"""Numerical functions that several packages need."""

from __future__ import annotations

import torch
from torch import Tensor

# float64 represents all integers up to this magnitude exactly.
MAX_EXACT_INTEGER = 2**53


def soft_clamp(x: Tensor, limit: float) -> Tensor:
    """Map `x` smoothly into (-limit, limit), with slope 1 at the origin.

    ``limit * x / (limit + |x|)``. Unlike the gradients of `clamp` and `tanh`, the gradient decays
    only with the square of `x`, so optimisation can always return from a value far outside.
    """
    return x / (1 + x.abs() / limit)


def soft_clamp_inverse(y: Tensor, limit: float) -> Tensor:
    """Return `x` with ``soft_clamp(x, limit) == y``, for `y` within 90 % of the limit."""
    y = y.clamp(-0.9 * limit, 0.9 * limit)
    return y / (1 - y.abs() / limit)


def uniform(shape: torch.Size, generator: torch.Generator, like: Tensor) -> Tensor:
    """Draw from the open interval (0, 1): without 0 and 1, logarithms stay finite."""
    u = torch.rand(shape, generator=generator, dtype=like.dtype, device=like.device)
    eps = torch.finfo(like.dtype).eps
    return u.clamp(eps, 1 - eps)
