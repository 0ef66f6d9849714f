"""Multilayer perceptrons, with linear paths or with Fourier features of the code."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Generator, Tensor, nn

from ..utils import autocast

# Number of random frequencies of `fourier_mlp`, and the standard deviation of the phases.
_N_FREQUENCIES = 64
FREQUENCY_SCALE = 3.0

# Factor of the hidden weights of perceptrons whose last layer starts at zero. The perceptrons learn
# nonlinear functions in fewer steps. A factor of 2 or more favours functions that over-fit.
_HIDDEN_GAIN = 1.5

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "identity": nn.Identity,
    "logistic": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
}


def dense(widths: Sequence[int], activation: str) -> list[nn.Module]:
    """Return linear layers between `widths`, each followed by the activation."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths):
        layers += [nn.Linear(n_in, n_out), ACTIVATIONS[activation]()]
    return layers


class LinearPath(nn.Module):
    """A perceptron and a parallel linear path, whose outputs are added.

    Without a perceptron, the network is linear.
    """

    def __init__(self, linear: nn.Linear, perceptron: nn.Sequential | None) -> None:
        super().__init__()
        self.linear = linear
        self.perceptron = perceptron

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear(x)
        return y if self.perceptron is None else y + self.perceptron(x)

    @torch.no_grad()
    def set_zero(self) -> None:
        """Make the output zero, and enlarge the weights of hidden layers to learn faster."""
        outputs: list[nn.Module] = [self.linear]
        if self.perceptron is not None:
            *hidden, last = self.perceptron
            outputs.append(last)
            for layer in hidden:
                if isinstance(layer, nn.Linear):
                    layer.weight.mul_(_HIDDEN_GAIN)
        for layer in outputs:
            for parameter in layer.parameters():
                parameter.zero_()


def mlp(
    n_features: int,
    latent_dim: int,
    n_outputs: int,
    *,
    hidden_layer_sizes: Sequence[int],
    activation: str,
    linear_path: bool = False,
    n_covariates: int = 0,
) -> tuple[nn.Module, nn.Module]:
    """Return a multilayer perceptron as the encoder, and its mirror image as the decoder.

    With `linear_path`, both have a linear path parallel to the perceptron. The decoder sees
    covariates after the code.
    """
    n_decoder_inputs = latent_dim + n_covariates
    widths = [n_features, *hidden_layer_sizes]
    mirror = [n_decoder_inputs, *reversed(hidden_layer_sizes)]
    encoder = nn.Sequential(*dense(widths, activation), nn.Linear(widths[-1], 2 * latent_dim))
    # The last layer has no bias: the VAE adds a bias, initialised by the marginals of the data.
    decoder = nn.Sequential(
        *dense(mirror, activation), nn.Linear(mirror[-1], n_outputs, bias=False)
    )
    if not linear_path:
        return encoder, decoder
    has_perceptron = len(hidden_layer_sizes) > 0
    return (
        LinearPath(nn.Linear(n_features, 2 * latent_dim), encoder if has_perceptron else None),
        LinearPath(
            nn.Linear(n_decoder_inputs, n_outputs, bias=False),
            decoder if has_perceptron else None,
        ),
    )


class FourierFeatures(nn.Module):
    """Codes, (n, k), followed by sines and cosines of random projections, (n, k + 2 m).

    Covariates that follow the codes have no projections.

    For codes drawn from the prior, the phases have the same spread of about one period at any k, so
    the following layers can separate neighbouring codes. Tancik et al., "Fourier features let
    networks learn high frequency functions in low dimensional domains", NeurIPS 2020, section 4.
    """

    frequencies: Tensor  # (k, m), drawn once, with the initial weights

    def __init__(self, latent_dim: int, n_frequencies: int, n_covariates: int = 0) -> None:
        super().__init__()
        self.n_covariates = n_covariates
        self.register_buffer(
            "frequencies", torch.zeros(latent_dim, n_frequencies, dtype=torch.float32)
        )

    @property
    def n_features(self) -> int:
        latent_dim, n_frequencies = self.frequencies.shape
        return latent_dim + self.n_covariates + 2 * n_frequencies

    def draw(self, generator: Generator) -> None:
        """Draw new frequencies."""
        std = FREQUENCY_SCALE / math.sqrt(len(self.frequencies))
        frequencies = torch.empty(self.frequencies.shape, dtype=torch.float32)
        self.frequencies = frequencies.normal_(std=std, generator=generator)

    def forward(self, z: Tensor) -> Tensor:
        # The resolution of bfloat16 is too low for phases of several periods.
        with autocast(z.device, torch.float32):
            codes = z[:, : len(self.frequencies)]
            phases = codes.to(self.frequencies.dtype) @ self.frequencies
            return torch.cat([z, phases.sin(), phases.cos()], dim=-1)


def fourier_mlp(
    n_features: int, latent_dim: int, n_outputs: int, *, n_covariates: int = 0, **options: Any
) -> tuple[nn.Module, nn.Module]:
    """Return the networks of `mlp`, with Fourier features of the code in front of the decoder.

    Without hidden layers, the decoder is linear in the features, not in the code.
    """
    features = FourierFeatures(latent_dim, _N_FREQUENCIES, n_covariates)
    encoder, _ = mlp(n_features, latent_dim, n_outputs, **options)
    _, decoder = mlp(n_features, features.n_features, n_outputs, **options)
    return encoder, nn.Sequential(features, *decoder.children())
