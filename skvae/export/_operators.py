"""Operators that ONNX or its runtime lack, in terms of those that they have."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.polynomial import Chebyshev
from numpy.polynomial.chebyshev import cheb2poly
from scipy.special import erfcx
from torch import Tensor
from torch._decomp import get_decompositions

_aten: Any = torch.ops.aten
# Of Stirling's series for the log of the gamma function: Abramowitz and Stegun (1964), 6.1.41.
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
_STIRLING_FROM = 8


def decompositions(dtype: str) -> dict[Any, Callable[..., Any]]:
    """Return what stands for operators in a graph of that precision.

    In float64, onnxruntime lacks most activations: there they are made of exponentials and such.
    """
    table: dict[Any, Callable[..., Any]] = {
        _aten.lgamma.default: _lgamma,
        _aten.expm1.default: _expm1,
    }
    if dtype == "float64":
        activations = [_aten.gelu, _aten.elu, _aten.leaky_relu, _aten.softplus]
        table |= get_decompositions(activations)
        table |= {_aten.erf.default: _erf, _aten.full_like.default: _full_like}
        # Of softplus; the exporter of torch 2.7 does not know it.
        table[_aten.true_divide.Tensor] = torch.div
    return table


def _expm1(x: Tensor) -> Tensor:
    """Return exp(x) - 1 without cancellation, for tanh(x / 2) is (exp(x) - 1) / (exp(x) + 1)."""
    return torch.tanh(x / 2) * (torch.exp(x) + 1)


def _lgamma(x: Tensor) -> Tensor:
    """Return the log of the gamma function of positive numbers, by Stirling's series.

    In double precision, or else its terms would lose half of the digits to each other.
    """
    wide = x.double()
    is_small = wide < _STIRLING_FROM
    z = torch.where(is_small, wide + _STIRLING_FROM, wide)
    series = _polynomial(_STIRLING, 1 / (z * z)) / z
    stirling = (z - 0.5) * z.log() - z + 0.5 * math.log(2 * math.pi) + series
    # gamma(x + 8) / gamma(x)
    rising = wide
    for step in range(1, _STIRLING_FROM):
        rising = rising * (wide + step)
    return (stirling - torch.where(is_small, rising, 1.0).log()).to(x.dtype)


def _full_like(x: Tensor, fill_value: float, **options: Any) -> Tensor:
    """As torch's, through `aten.scalar_tensor`, which is exact here."""
    return torch.zeros_like(x, **options) + fill_value


def _erf(x: Tensor) -> Tensor:
    """Return the error function, 1 - exp(-x^2) erfcx(x) for positive x.

    In t = 2 / (2 + x), a polynomial for erfcx(x) / t is as good as exact: Press et al.,
    "Numerical recipes", 3rd ed., Cambridge, 2007, section 6.2.2.
    """
    size = x.abs()
    t = 2 / (2 + size)
    tail = t * torch.exp(-size * size) * _polynomial(_erfcx_by_t(), 2 * t - 1)
    return torch.sign(x) * (1 - tail)


def _erfcx_by_t() -> list[float]:
    """Return the coefficients of erfcx(x) / t as a polynomial in 2 t - 1, good to 1e-14."""
    fit = Chebyshev.interpolate(lambda t: erfcx(2 / t - 2) / t, 20, domain=[0, 1])
    return cheb2poly(fit.coef).tolist()


def _polynomial(coefficients: Sequence[float], x: Tensor) -> Tensor:
    """Return the sum of coefficients times powers of x, by Horner's scheme."""
    *others, last = coefficients
    total = torch.full_like(x, last)
    for coefficient in reversed(others):
        total = total * x + coefficient
    return total


def _exact_scalar(s: Any, dtype: Any, **options: Any) -> Any:
    """Translate `aten.scalar_tensor`; the exporter's own rounds numbers to single precision."""
    from onnx import helper, numpy_helper
    from onnxscript import opset18

    if not isinstance(s, bool | int | float):
        return opset18.Cast(s, to=dtype)
    number = np.array(s, helper.tensor_dtype_to_np_dtype(dtype))
    return opset18.Constant(value=numpy_helper.from_array(number))


TRANSLATIONS = {_aten.scalar_tensor.default: _exact_scalar}
