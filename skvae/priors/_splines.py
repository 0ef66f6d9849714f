"""Monotonic rational-quadratic splines: invertible functions of one variable."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

N_BINS = 8
# A spline maps [-BOUND, BOUND] to itself, and is the identity outside.
BOUND = 5.0
# Number of parameters of a spline: widths and heights of the bins, and slopes at inner knots.
N_PARAMS = 3 * N_BINS - 1
_MIN_BIN = 1e-3  # as a fraction of 2 * BOUND
_MIN_SLOPE = 1e-3
# A parameter of zero is a slope of one.
_UNIT_SLOPE = math.log(math.expm1(1 - _MIN_SLOPE))


class _Bin(NamedTuple):
    """The bin of each value: lower left corner, width, height, and slopes at both ends."""

    x: Tensor
    y: Tensor
    width: Tensor
    height: Tensor
    slope: Tensor
    next_slope: Tensor


def spline(x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
    """Return the values of splines, and the logs of their slopes.

    Durkan, Bekasov, Murray and Papamakarios, "Neural spline flows", NeurIPS 2019, equations 4 and
    5. Splines with parameters of zero are the identity.

    Parameters
    ----------
    x : Tensor of shape (...)
    params : Tensor of shape (..., N_PARAMS)
        Parameters of the spline of each value.

    Returns
    -------
    y, log_slope : Tensors of shape (...)
    """
    inside = x.clamp(-BOUND, BOUND)
    b = _find_bins(inside, params, 0)
    mean_slope = b.height / b.width
    t = (inside - b.x) / b.width  # in [0, 1]
    u = t * (1 - t)
    scale = mean_slope + (b.next_slope + b.slope - 2 * mean_slope) * u
    y = b.y + b.height * (mean_slope * t.square() + b.slope * u) / scale
    log_slope = _log_slope(b, mean_slope, t, u, scale)
    is_inside = x.abs() < BOUND
    return torch.where(is_inside, y, x), torch.where(is_inside, log_slope, 0.0)


def spline_inverse(y: Tensor, params: Tensor) -> Tensor:
    """Return the values that `spline` maps to `y`: Durkan et al. (2019), equations 6 to 8."""
    inside = y.clamp(-BOUND, BOUND)
    b = _find_bins(inside, params, 1)
    mean_slope = b.height / b.width
    rise = inside - b.y
    excess = b.next_slope + b.slope - 2 * mean_slope
    quadratic = b.height * (mean_slope - b.slope) + rise * excess
    linear = b.height * b.slope - rise * excess
    constant = -mean_slope * rise
    root = (linear.square() - 4 * quadratic * constant).clamp_min(0).sqrt()
    t = 2 * constant / (-linear - root)
    return torch.where(y.abs() < BOUND, b.x + t * b.width, y)


def _log_slope(b: _Bin, mean_slope: Tensor, t: Tensor, u: Tensor, scale: Tensor) -> Tensor:
    rise = b.next_slope * t.square() + 2 * mean_slope * u + b.slope * (1 - t).square()
    return 2 * (mean_slope.log() - scale.log()) + rise.log()


def _find_bins(values: Tensor, params: Tensor, axis: int) -> _Bin:
    """Return the bin of each value, in the direction of x (axis 0) or y (axis 1)."""
    widths, heights, slopes = params.split([N_BINS, N_BINS, N_BINS - 1], -1)
    slopes = F.pad(_MIN_SLOPE + F.softplus(slopes + _UNIT_SLOPE), (1, 1), value=1.0)
    knots = _knots(widths), _knots(heights)  # (..., N_BINS + 1) each
    inner = knots[axis][..., 1:-1]
    index = (values.unsqueeze(-1) >= inner).sum(-1, keepdim=True)
    x, y = (_pick(k, index) for k in knots)
    next_x, next_y = (_pick(k, index + 1) for k in knots)
    ends = _pick(slopes, index), _pick(slopes, index + 1)
    return _Bin(x, y, next_x - x, next_y - y, *ends)


def _knots(params: Tensor) -> Tensor:
    """Return the ends of bins whose sizes are a softmax of the parameters."""
    fractions = _MIN_BIN + (1 - _MIN_BIN * N_BINS) * torch.softmax(params, -1)
    inner = 2 * BOUND * fractions[..., :-1].cumsum(-1) - BOUND
    return F.pad(F.pad(inner, (1, 0), value=-BOUND), (0, 1), value=BOUND)


def _pick(table: Tensor, index: Tensor) -> Tensor:
    return table.gather(-1, index).squeeze(-1)
