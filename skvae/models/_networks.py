"""Architectures: encoders and decoders by name, and custom networks.

An architecture is a callable ``(n_features, latent_dim, n_outputs) -> (encoder, decoder)``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor, nn

from ..utils import seeded_global_rng
from ._convolutions import check_image_shape, conv
from ._custom_networks import check_networks
from ._perceptrons import FourierFeatures, fourier_mlp, mlp

Architecture = Callable[[int, int, int], tuple[nn.Module, nn.Module]]

ARCHITECTURES: dict[str, Callable[..., tuple[nn.Module, nn.Module]]] = {
    "mlp": mlp,
    "fourier_mlp": fourier_mlp,
    "conv": conv,
}


def resolve_architecture(
    architecture: str | Architecture,
    *,
    n_features: int,
    image_shape: Sequence[int] | None,
    hidden_layer_sizes: Sequence[int] | str,
    activation: str,
    linear_path: bool = False,
    n_covariates: int = 0,
) -> Architecture:
    """Return the callable of an architecture, with its options bound.

    `linear_path` adds a linear path to "mlp", and has no effect on other architectures. Decoders
    see `n_covariates` inputs after the code.

    Raises
    ------
    ValueError
        If the options do not fit the architecture or the width of the data.
    """
    if callable(architecture):
        return architecture
    if architecture != "conv":
        sizes = _widths(hidden_layer_sizes, auto=(128, 128) if linear_path else (256, 128))
        options: dict[str, Any] = {"hidden_layer_sizes": sizes, "activation": activation}
        if architecture == "mlp":
            options["linear_path"] = linear_path
        return partial(ARCHITECTURES[architecture], n_covariates=n_covariates, **options)
    shape = check_image_shape(image_shape, n_features)
    sizes = _widths(hidden_layer_sizes, auto=(32, 64, 128))
    if len(sizes) < 2:
        raise ValueError(
            "architecture='conv' needs hidden_layer_sizes=(filters, ..., dense): at least one "
            f"number of filters and the width of the dense layer; got {sizes}."
        )
    return partial(
        conv,
        image_shape=shape,
        hidden_layer_sizes=sizes,
        activation=activation,
        n_covariates=n_covariates,
    )


def _widths(hidden_layer_sizes: Sequence[int] | str, *, auto: tuple[int, ...]) -> tuple[int, ...]:
    if isinstance(hidden_layer_sizes, str):
        return auto
    if not all(isinstance(width, int) and width > 0 for width in hidden_layer_sizes):
        raise ValueError(f"hidden_layer_sizes must be positive integers; got {hidden_layer_sizes}.")
    return tuple(hidden_layer_sizes)


def build_networks(
    architecture: Architecture,
    *,
    n_features: int,
    latent_dim: int,
    n_outputs: int,
    generator: Generator | None,
    n_covariates: int = 0,
) -> tuple[nn.Module, nn.Module]:
    """Return an encoder and a decoder, with initial weights drawn from `generator`.

    Without a generator, the networks of this module are on the device "meta" and take no memory.

    The architectures of this module do not use torch's global generator. Custom architectures may
    draw from the global generator, which is seeded, and restored afterwards. The weights of custom
    architectures are converted to float32. If there are covariates, a custom architecture is called
    a second time, for the decoder of codes with the covariates.

    Raises
    ------
    TypeError, ValueError
        If a custom architecture does not return two modules with the right shapes.
    """
    if isinstance(architecture, partial) and architecture.func in ARCHITECTURES.values():
        with torch.device("meta"):
            encoder, decoder = architecture(n_features, latent_dim, n_outputs)
        if generator is not None:
            for network in (encoder, decoder):
                _draw_weights(network, generator)
        return encoder, decoder
    seed = int(torch.randint(2**62, (), generator=generator))
    with seeded_global_rng(seed, torch.device("cpu")):
        networks = architecture(n_features, latent_dim, n_outputs)
        encoder, decoder = check_networks(networks, n_features, latent_dim, n_outputs)
        if n_covariates:
            n_inputs = latent_dim + n_covariates
            networks = architecture(n_features, n_inputs, n_outputs)
            _, decoder = check_networks(networks, n_features, n_inputs, n_outputs)
        return encoder, decoder


@torch.no_grad()
def _draw_weights(network: nn.Module, generator: Generator) -> None:
    """Draw the weights of layers on the device "meta" from U(-1/sqrt(fan_in), 1/sqrt(fan_in)).

    torch's layers have the same default. With the larger initial weights of He and Glorot, bounds
    after few epochs were worse. `Module.to_empty` would import large parts of torch, which takes
    longer than a fit.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            bound = layer.weight[0].numel() ** -0.5
            for name, old in list(layer.named_parameters(recurse=False)):
                # Convolutions are faster with channels last.
                order = torch.channels_last if old.ndim == 4 else torch.contiguous_format
                new = torch.empty(old.shape, dtype=torch.float32, memory_format=order)
                new.uniform_(-bound, bound, generator=generator)
                layer.register_parameter(name, nn.Parameter(new))
        elif isinstance(layer, FourierFeatures):
            layer.draw(generator)


@torch.no_grad()
def max_output_width(network: nn.Module, n_inputs: int) -> int:
    """Return the largest number of elements per row in the output of any layer."""
    sizes: list[int] = []

    def record_size(layer: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor):
            sizes.append(output.numel())

    hooks = [layer.register_forward_hook(record_size) for layer in network.modules()]
    is_training = network.training
    network.eval()(torch.zeros(1, n_inputs, dtype=torch.float32))
    network.train(is_training)
    for hook in hooks:
        hook.remove()
    return max(sizes, default=n_inputs)


def widest_layer(network: nn.Module) -> int:
    """Return the number of units of the widest linear layer, or 1 if there is none."""
    layers = (layer for layer in network.modules() if isinstance(layer, nn.Linear))
    return max((layer.out_features for layer in layers), default=1)
