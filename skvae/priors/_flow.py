"""Normalising flows of coupling layers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ..serialization import serializable
from ..utils import soft_clamp
from ._base import LearnedPrior, Parameters, check_count
from ._normal import normal_log_prob
from ._splines import N_PARAMS, spline, spline_inverse

# Bounds the slopes of splines, so that float32 suffices for the inverse.
_MAX_PARAM = 5.0


class _Layer(NamedTuple):
    """A rotation, and a perceptron that maps one half of a code to splines of the other half."""

    rotation: Tensor  # (k, k)
    weight_in: Tensor  # (hidden, k - n_transformed)
    bias_in: Tensor
    weight_hidden: Tensor  # (hidden, hidden)
    bias_hidden: Tensor
    weight_out: Tensor  # (n_transformed * N_PARAMS, hidden)
    bias_out: Tensor

    def spline_params(self, given: Tensor) -> Tensor:
        """Return the parameters of splines, (..., n_transformed, N_PARAMS)."""
        h = F.silu(F.linear(given, self.weight_in, self.bias_in))
        h = h + F.silu(F.linear(h, self.weight_hidden, self.bias_hidden))
        out = F.linear(h, self.weight_out, self.bias_out)
        return soft_clamp(out, _MAX_PARAM).unflatten(-1, (-1, N_PARAMS))


@serializable
@dataclass(frozen=True)
class Flow(LearnedPrior):
    """Normalising flow: an invertible function maps codes to standard normal variables.

    Each layer rotates the code by a random rotation, and transforms one half of the variables by
    monotonic rational-quadratic splines. The splines depend on the other half through a perceptron
    with two hidden layers. At the start, the flow is the normal prior.

    Parameters
    ----------
    n_layers : int, default=4
        Number of coupling layers.
    hidden : int, default=64
        Number of units of each hidden layer.
    training : {"joint", "separate"}, default="joint"
        Objective of encoder and decoder. "joint": the bound with this prior. "separate": the bound
        with the normal prior, while this prior learns the distribution of the codes.

    References
    ----------
    Dinh, Sohl-Dickstein and Bengio, "Density estimation using Real NVP", ICLR 2017.

    Durkan, Bekasov, Murray and Papamakarios, "Neural spline flows", NeurIPS 2019.

    Examples
    --------
    >>> from skvae.priors import Flow
    >>> Flow(n_layers=2)
    Flow(n_layers=2, hidden=64, training='joint')
    """

    n_layers: int = 4
    hidden: int = 64
    training: Literal["joint", "separate"] = "joint"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("Flow(n_layers=...)", self.n_layers)
        check_count("Flow(hidden=...)", self.hidden)

    def parameter_shapes(self, latent_dim: int, n_inputs: int) -> dict[str, tuple[int, ...]]:
        n_transformed, hidden = _n_transformed(latent_dim), self.hidden
        n_outputs = n_transformed * N_PARAMS
        shapes = {
            "rotation": (latent_dim, latent_dim),
            "weight_in": (hidden, latent_dim - n_transformed),
            "bias_in": (hidden,),
            "weight_hidden": (hidden, hidden),
            "bias_hidden": (hidden,),
            "weight_out": (n_outputs, hidden),
            "bias_out": (n_outputs,),
        }
        return {name: (self.n_layers, *shape) for name, shape in shapes.items()}

    def is_fixed(self, name: str) -> bool:
        return name == "rotation"

    def width(self, latent_dim: int) -> int:
        return max(self.hidden, _n_transformed(latent_dim) * N_PARAMS)

    def initial_params(self, latent_dim: int, inputs: Tensor, generator: Generator) -> Parameters:
        """Return the identity: the last layers of the perceptrons are zero."""
        params = {}
        for name, shape in self.parameter_shapes(latent_dim, inputs.shape[-1]).items():
            value = torch.zeros(shape, dtype=torch.float32)
            if name == "rotation":
                normal = torch.randn(shape, generator=generator, dtype=torch.float64)
                value = torch.linalg.qr(normal).Q.to(torch.float32)
            elif name in ("weight_in", "weight_hidden") and value.numel():
                value.uniform_(-1, 1, generator=generator).div_(math.sqrt(shape[-1]))
            params[name] = value
        return params

    def log_prob(self, z: Tensor, params: Parameters) -> Tensor:
        n_transformed = _n_transformed(z.shape[-1])
        log_det = z.new_zeros(z.shape[:-1])
        for layer in _layers(params):
            z = z @ layer.rotation
            x, given = z.split([n_transformed, z.shape[-1] - n_transformed], -1)
            y, log_slope = spline(x, layer.spline_params(given))
            z = torch.cat([y, given], -1)
            log_det = log_det + log_slope.sum(-1)
        return normal_log_prob(z) + log_det

    def sample(self, eps: Tensor, params: Parameters, generator: Generator) -> Tensor:
        n_transformed = _n_transformed(eps.shape[-1])
        z = eps
        for layer in reversed(list(_layers(params))):
            y, given = z.split([n_transformed, z.shape[-1] - n_transformed], -1)
            x = spline_inverse(y, layer.spline_params(given))
            z = torch.cat([x, given], -1) @ layer.rotation.T
        return z


def _n_transformed(latent_dim: int) -> int:
    """Return the number of variables that a layer transforms: half of them, rounded up."""
    return (latent_dim + 1) // 2


def _layers(params: Parameters) -> Iterator[_Layer]:
    stacked = [params[name] for name in _Layer._fields]
    return (_Layer(*tensors) for tensors in zip(*stacked, strict=True))
