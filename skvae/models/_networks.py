"""Architectures: encoders and decoders by name, and custom networks.

An architecture is a callable ``(n_features, latent_dim, n_outputs) -> (encoder, decoder)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Generator, Tensor, nn

from ..utils import autocast, seeded_global_rng
from ._custom_networks import check_networks

# Number of random frequencies of `fourier_mlp`, and the standard deviation of the phases.
_N_FREQUENCIES = 64
FREQUENCY_SCALE = 3.0

# Factor of the hidden weights of perceptrons whose last layer starts at zero. The perceptrons learn
# nonlinear functions in fewer steps. A factor of 2 or more favours functions that over-fit.
_HIDDEN_GAIN = 1.5

# Largest last size of an image shape that looks like a number of channels.
_MAX_LAST_CHANNELS = 4

Architecture = Callable[[int, int, int], tuple[nn.Module, nn.Module]]

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


def _dense(widths: Sequence[int], activation: str) -> list[nn.Module]:
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
) -> tuple[nn.Module, nn.Module]:
    """Return a multilayer perceptron as the encoder, and its mirror image as the decoder.

    With `linear_path`, both have a linear path parallel to the perceptron.
    """
    widths = [n_features, *hidden_layer_sizes]
    mirror = [latent_dim, *reversed(hidden_layer_sizes)]
    encoder = nn.Sequential(*_dense(widths, activation), nn.Linear(widths[-1], 2 * latent_dim))
    # The last layer has no bias: the VAE adds a bias, initialised by the marginals of the data.
    decoder = nn.Sequential(
        *_dense(mirror, activation), nn.Linear(mirror[-1], n_outputs, bias=False)
    )
    if not linear_path:
        return encoder, decoder
    has_perceptron = len(hidden_layer_sizes) > 0
    return (
        LinearPath(nn.Linear(n_features, 2 * latent_dim), encoder if has_perceptron else None),
        LinearPath(
            nn.Linear(latent_dim, n_outputs, bias=False), decoder if has_perceptron else None
        ),
    )


class FourierFeatures(nn.Module):
    """Codes, (n, k), followed by sines and cosines of random projections, (n, k + 2 m).

    For codes drawn from the prior, the phases have the same spread of about one period at any k, so
    the following layers can separate neighbouring codes. Tancik et al., "Fourier features let
    networks learn high frequency functions in low dimensional domains", NeurIPS 2020, section 4.
    """

    frequencies: Tensor  # (k, m), drawn once, with the initial weights

    def __init__(self, latent_dim: int, n_frequencies: int) -> None:
        super().__init__()
        self.register_buffer(
            "frequencies", torch.zeros(latent_dim, n_frequencies, dtype=torch.float32)
        )

    @property
    def n_features(self) -> int:
        latent_dim, n_frequencies = self.frequencies.shape
        return latent_dim + 2 * n_frequencies

    def draw(self, generator: Generator) -> None:
        """Draw new frequencies."""
        std = FREQUENCY_SCALE / math.sqrt(len(self.frequencies))
        frequencies = torch.empty(self.frequencies.shape, dtype=torch.float32)
        self.frequencies = frequencies.normal_(std=std, generator=generator)

    def forward(self, z: Tensor) -> Tensor:
        # The resolution of bfloat16 is too low for phases of several periods.
        with autocast(z.device, torch.float32):
            phases = z.to(self.frequencies.dtype) @ self.frequencies
            return torch.cat([z, phases.sin(), phases.cos()], dim=-1)


def fourier_mlp(
    n_features: int, latent_dim: int, n_outputs: int, **options: Any
) -> tuple[nn.Module, nn.Module]:
    """Return the networks of `mlp`, with Fourier features of the code in front of the decoder.

    Without hidden layers, the decoder is linear in the features, not in the code.
    """
    features = FourierFeatures(latent_dim, _N_FREQUENCIES)
    encoder, _ = mlp(n_features, latent_dim, n_outputs, **options)
    _, decoder = mlp(n_features, features.n_features, n_outputs, **options)
    return encoder, nn.Sequential(features, *decoder.children())


class _ImagesToRows(nn.Module):
    """Flatten images, (n, c, h, w), to rows, (n, h * w * c), in the order of the memory."""

    def forward(self, images: Tensor) -> Tensor:
        return images.permute(0, 2, 3, 1).flatten(1)


class _RowsToImages(nn.Module):
    """The inverse of `_ImagesToRows`, for images of `shape` (c, h, w)."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, rows: Tensor) -> Tensor:
        channels, height, width = self.shape
        return rows.unflatten(1, (height, width, channels)).permute(0, 3, 1, 2)


class _Bias(nn.Module):
    """A learned bias for each channel of images, (n, c, h, w).

    On a CPU, the gradient of the built-in bias of a transposed convolution is slow: it takes half
    as long as the other gradients of the layer.
    """

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        # Zeros, even if the default device is "meta".
        self.bias = nn.Parameter(torch.zeros(n_channels, dtype=torch.float32, device="cpu"))

    def forward(self, images: Tensor) -> Tensor:
        return images + self.bias.to(images.dtype)[:, None, None]


class _PixelConv2d(nn.Conv2d):
    """A convolution of images of a single pixel, in float32.

    In bfloat16, the CPU kernel of torch 2.13 leaves gradients of the weights beyond the pixel
    uninitialised, so results would be random, and sometimes NaN.
    """

    def forward(self, images: Tensor) -> Tensor:
        with autocast(images.device, torch.float32):
            return super().forward(images.to(self.weight.dtype))


def conv(
    n_features: int,
    latent_dim: int,
    n_outputs: int,
    *,
    image_shape: tuple[int, int, int],
    hidden_layer_sizes: Sequence[int],
    activation: str,
) -> tuple[nn.Module, nn.Module]:
    """Return a convolutional encoder, and a decoder of transposed convolutions.

    Each stage of the encoder halves the image by 3x3 filters with stride 2, and each stage of the
    decoder doubles the image. The last entry of `hidden_layer_sizes` is the width of the encoder's
    dense layer in front of the code. The other entries are the numbers of filters.
    """
    *filters, n_dense = hidden_layer_sizes
    channels, height, width = image_shape
    sizes = [(height, width)]
    for _ in filters:
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    smallest = (filters[-1], *sizes[-1])

    encoder: list[nn.Module] = [nn.Unflatten(1, image_shape)]
    for (n_in, n_out), size in zip(pairwise([channels, *filters]), sizes, strict=False):
        layer = _PixelConv2d if size == (1, 1) else nn.Conv2d
        encoder += [layer(n_in, n_out, 3, stride=2, padding=1), ACTIVATIONS[activation]()]
    encoder += [_ImagesToRows(), *_dense([math.prod(smallest), n_dense], activation)]
    encoder += [nn.Linear(n_dense, 2 * latent_dim)]

    decoder = _dense([latent_dim, math.prod(smallest)], activation)
    decoder += [_RowsToImages(smallest)]
    n_last = n_outputs // (height * width)
    stages = zip(pairwise([*reversed(filters), n_last]), pairwise(reversed(sizes)), strict=True)
    for stage, ((n_in, n_out), (small, large)) in enumerate(stages, start=1):
        # A stage gives 2 * small - 1 rows, plus one row if the larger image has an even number.
        extra = (large[0] - 2 * small[0] + 1, large[1] - 2 * small[1] + 1)
        decoder += [nn.ConvTranspose2d(n_in, n_out, 3, 2, 1, extra, bias=False)]
        # The last layer has no bias: the VAE adds a bias.
        is_last = stage == len(filters)
        decoder += [nn.Flatten()] if is_last else [_Bias(n_out), ACTIVATIONS[activation]()]
    return nn.Sequential(*encoder), nn.Sequential(*decoder)


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
) -> Architecture:
    """Return the callable of an architecture, with its options bound.

    `linear_path` adds a linear path to "mlp", and has no effect on other architectures.

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
        return partial(ARCHITECTURES[architecture], **options)
    shape = _image_shape(image_shape, n_features)
    sizes = _widths(hidden_layer_sizes, auto=(32, 64, 16))
    if len(sizes) < 2:
        raise ValueError(
            "architecture='conv' needs hidden_layer_sizes=(filters, ..., dense): at least one "
            f"number of filters and the width of the dense layer; got {sizes}."
        )
    return partial(conv, image_shape=shape, hidden_layer_sizes=sizes, activation=activation)


def _widths(hidden_layer_sizes: Sequence[int] | str, *, auto: tuple[int, ...]) -> tuple[int, ...]:
    if isinstance(hidden_layer_sizes, str):
        return auto
    if not all(isinstance(width, int) and width > 0 for width in hidden_layer_sizes):
        raise ValueError(f"hidden_layer_sizes must be positive integers; got {hidden_layer_sizes}.")
    return tuple(hidden_layer_sizes)


def _image_shape(image_shape: Sequence[int] | None, n_features: int) -> tuple[int, int, int]:
    """Return (channels, height, width), after a check against the number of features."""
    sizes = () if image_shape is None else image_shape
    if len(sizes) not in (2, 3) or not all(isinstance(size, int) and size > 0 for size in sizes):
        raise ValueError(
            "architecture='conv' needs image_shape=(height, width) or (channels, height, width), "
            f"positive integers; got {image_shape}."
        )
    check_channels_first(sizes)
    channels, height, width = (1, *sizes)[-3:]
    if channels * height * width != n_features:
        raise ValueError(
            f"image_shape={tuple(sizes)} holds {channels * height * width} values, but X "
            f"has {n_features} features. image_shape must be (height, width) or (channels, height, "
            "width)."
        )
    return channels, height, width


def check_channels_first(image_shape: Sequence[int]) -> None:
    """Raise `ValueError` if an image shape looks like (height, width, channels).

    A shape such as (3, 32, 3), with at most four channels in both orders, counts as channels first.
    """
    if len(image_shape) != 3:
        return
    height, width, channels = image_shape
    if not channels <= _MAX_LAST_CHANNELS < height or width <= channels:
        return
    advice = f"image_shape=({height}, {width})"
    if channels > 1:
        rows = f"X.reshape(-1, {height}, {width}, {channels}).transpose(0, 3, 1, 2)"
        advice = f"image_shape=({channels}, {height}, {width}) and {rows}.reshape(len(X), -1)"
    raise ValueError(
        f"image_shape={tuple(image_shape)} looks like (height, width, channels), but images must "
        f"have the channels first. Pass {advice}."
    )


def build_networks(
    architecture: Architecture,
    *,
    n_features: int,
    latent_dim: int,
    n_outputs: int,
    generator: Generator | None,
) -> tuple[nn.Module, nn.Module]:
    """Return an encoder and a decoder, with initial weights drawn from `generator`.

    Without a generator, the networks of this module are on the device "meta" and take no memory.

    The architectures of this module do not use torch's global generator. Custom architectures may
    draw from the global generator, which is seeded, and restored afterwards. The weights of custom
    architectures are converted to float32.

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
        return check_networks(networks, n_features, latent_dim, n_outputs)


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
