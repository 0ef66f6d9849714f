"""Decompositions of operators that ONNX or onnxruntime lack into supported operators."""

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
# Coefficients of Stirling's series for log-gamma: Abramowitz and Stegun (1964), 6.1.41.
_STIRLING_COEFFICIENTS = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
# Smallest argument of the series. The recurrence of the gamma function shifts smaller arguments.
_MIN_STIRLING = 8


def decompositions(dtype: str) -> dict[Any, Callable[..., Any]]:
    """Return the decompositions of unsupported operators for a data type.

    For float64, onnxruntime lacks most activation functions. The decompositions of torch express
    these functions by elementary operators.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        Data type of the graph.

    Returns
    -------
    table : dict
        Decompositions by operator, for ``run_decompositions``.
    """
    table: dict[Any, Callable[..., Any]] = {
        _aten.lgamma.default: _lgamma,
        _aten.expm1.default: _expm1,
        _aten.binary_cross_entropy_with_logits.default: _binary_cross_entropy,
        _aten.log_sigmoid.default: _log_sigmoid,
    }
    if dtype == "float64":
        activations = [_aten.gelu, _aten.elu, _aten.leaky_relu, _aten.softplus]
        table |= get_decompositions(activations)
        table |= {_aten.erf.default: _erf, _aten.full_like.default: _full_like}
        # Part of the decomposition of softplus, but unknown to the exporter of torch 2.7.
        table[_aten.true_divide.Tensor] = torch.div
    return table


def _expm1(x: Tensor) -> Tensor:
    """Return exp(x) - 1 without cancellation, by tanh(x / 2) = (exp(x) - 1) / (exp(x) + 1)."""
    return torch.tanh(x / 2) * (torch.exp(x) + 1)


def _binary_cross_entropy(logits: Tensor, x: Tensor, *options: Any) -> Tensor:
    """Return -log p(x) of a Bernoulli distribution for each entry."""
    return (1 - x) * logits - _log_sigmoid(logits)


def _log_sigmoid(x: Tensor) -> Tensor:
    """Return log(sigmoid(x)), whose sigmoid would be 0 in onnxruntime for x below about -17."""
    return x.clamp_max(0) - torch.log1p(torch.exp(-x.abs()))


def _lgamma(x: Tensor) -> Tensor:
    """Return the log of the gamma function of positive numbers, by Stirling's series.

    The computation is in float64: in float32, cancellation between the terms would lose half of the
    digits.
    """
    wide = x.double()
    is_small = wide < _MIN_STIRLING
    z = torch.where(is_small, wide + _MIN_STIRLING, wide)
    series = _polynomial(_STIRLING_COEFFICIENTS, 1 / (z * z)) / z
    stirling = (z - 0.5) * z.log() - z + 0.5 * math.log(2 * math.pi) + series
    # Rising factorial gamma(x + 8) / gamma(x), for small x.
    rising = wide
    for step in range(1, _MIN_STIRLING):
        rising = rising * (wide + step)
    return (stirling - torch.where(is_small, rising, 1.0).log()).to(x.dtype)


def _full_like(x: Tensor, fill_value: float, **options: Any) -> Tensor:
    """Return a tensor like `x` with all entries equal to `fill_value`.

    The sum creates the constant by `aten.scalar_tensor`, exact in float64 by `_exact_scalar`.
    """
    return torch.zeros_like(x, **options) + fill_value


def _erf(x: Tensor) -> Tensor:
    """Return the error function: erf(x) = 1 - exp(-x^2) erfcx(x) for positive x.

    With t = 2 / (2 + x), a polynomial in t approximates erfcx(x) / t to double precision: Press
    et al., "Numerical recipes", 3rd ed., Cambridge, 2007, section 6.2.2.
    """
    magnitude = x.abs()
    t = 2 / (2 + magnitude)
    tail = t * torch.exp(-magnitude * magnitude) * _polynomial(_erfcx_coefficients(), 2 * t - 1)
    return torch.sign(x) * (1 - tail)


def _erfcx_coefficients() -> list[float]:
    """Return the coefficients of erfcx(x) / t as a polynomial in 2 t - 1, with error 1e-14."""
    fit = Chebyshev.interpolate(lambda t: erfcx(2 / t - 2) / t, 20, domain=[0, 1])
    return cheb2poly(fit.coef).tolist()


def _polynomial(coefficients: Sequence[float], x: Tensor) -> Tensor:
    """Evaluate a polynomial, with coefficients in increasing order, by Horner's scheme."""
    *others, last = coefficients
    total = torch.full_like(x, last)
    for coefficient in reversed(others):
        total = total * x + coefficient
    return total


def _exact_scalar(s: Any, dtype: Any, **options: Any) -> Any:
    """Translate `aten.scalar_tensor` exactly; the exporter's own translation rounds to float32."""
    from onnx import helper, numpy_helper
    from onnxscript import opset18

    if not isinstance(s, bool | int | float):
        return opset18.Cast(s, to=dtype)
    number = np.array(s, helper.tensor_dtype_to_np_dtype(dtype))
    return opset18.Constant(value=numpy_helper.from_array(number))


TRANSLATIONS = {_aten.scalar_tensor.default: _exact_scalar}
