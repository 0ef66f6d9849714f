"""Encoders and decoders by name, and how to hand in one's own.

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

from ..utils import seeded_global_generator

# Of `fourier_mlp`: how many random frequencies, and the standard deviation of a code's phases.
_N_FREQUENCIES = 64
FREQUENCY_SCALE = 3.0

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


def mlp(
    n_features: int,
    latent_dim: int,
    n_outputs: int,
    *,
    hidden_layer_sizes: Sequence[int],
    activation: str,
) -> tuple[nn.Module, nn.Module]:
    """Return a multilayer perceptron of any depth and its mirror image."""
    widths = [n_features, *hidden_layer_sizes]
    mirror = [latent_dim, *reversed(hidden_layer_sizes)]
    encoder = nn.Sequential(*_dense(widths, activation), nn.Linear(widths[-1], 2 * latent_dim))
    # The module's own bias, which starts at the data's marginals, is the last layer's.
    decoder = nn.Sequential(
        *_dense(mirror, activation), nn.Linear(mirror[-1], n_outputs, bias=False)
    )
    return encoder, decoder


class FourierFeatures(nn.Module):
    """Codes, (n, k), beside sines and cosines of random projections of them, (n, k + 2 m).

    The phases of a code drawn from the prior have the same spread at any k, a period or so:
    layers above can tell neighbouring codes apart. Tancik et al., "Fourier features let
    networks learn high frequency functions in low dimensional domains", NeurIPS 2020,
    section 4.
    """

    frequencies: Tensor  # (k, m), drawn once, with the start weights

    def __init__(self, latent_dim: int, n_frequencies: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.zeros(latent_dim, n_frequencies))

    @property
    def n_features(self) -> int:
        latent_dim, n_frequencies = self.frequencies.shape
        return latent_dim + 2 * n_frequencies

    def draw(self, generator: Generator) -> None:
        """Draw the frequencies anew."""
        std = FREQUENCY_SCALE / math.sqrt(len(self.frequencies))
        self.frequencies = torch.empty(self.frequencies.shape).normal_(std=std, generator=generator)

    def forward(self, z: Tensor) -> Tensor:
        # Phases of several periods would be coarse in bfloat16.
        with torch.autocast(z.device.type, enabled=False):
            phases = z.to(self.frequencies.dtype) @ self.frequencies
            return torch.cat([z, phases.sin(), phases.cos()], dim=-1)


def fourier_mlp(
    n_features: int, latent_dim: int, n_outputs: int, **options: Any
) -> tuple[nn.Module, nn.Module]:
    """Return the networks of `mlp`, of the same options, with Fourier features of the code.

    Without hidden layers the decoder is linear in these features, not in the code.
    """
    features = FourierFeatures(latent_dim, _N_FREQUENCIES)
    encoder, _ = mlp(n_features, latent_dim, n_outputs, **options)
    _, decoder = mlp(n_features, features.n_features, n_outputs, **options)
    return encoder, nn.Sequential(features, *decoder.children())


class _ImagesToRows(nn.Module):
    """Images, (n, c, h, w), as rows, (n, h * w * c): in the order in which memory has them."""

    def forward(self, images: Tensor) -> Tensor:
        return images.permute(0, 2, 3, 1).flatten(1)


class _RowsToImages(nn.Module):
    """The way back from `_ImagesToRows`, for images of `shape` (c, h, w)."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, rows: Tensor) -> Tensor:
        channels, height, width = self.shape
        return rows.unflatten(1, (height, width, channels)).permute(0, 3, 1, 2)


class _Bias(nn.Module):
    """A learned number for each channel of images, (n, c, h, w).

    On a CPU, a transposed convolution's own takes half as long as the rest of its gradients.
    """

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        # Zeros even where other layers get no data yet.
        self.bias = nn.Parameter(torch.zeros(n_channels, device="cpu"))

    def forward(self, images: Tensor) -> Tensor:
        return images + self.bias.to(images.dtype)[:, None, None]


def conv(
    n_features: int,
    latent_dim: int,
    n_outputs: int,
    *,
    image_shape: tuple[int, int, int],
    hidden_layer_sizes: Sequence[int],
    activation: str,
) -> tuple[nn.Module, nn.Module]:
    """Return a convolutional encoder, each stage halving the image, and its mirror image.

    All of `hidden_layer_sizes` but the last are numbers of 3x3 filters, with stride 2;
    the last is the width of the dense layer between them and the code. Strided transposed
    convolutions double the image back.
    """
    *filters, n_dense = hidden_layer_sizes
    channels, height, width = image_shape
    sizes = [(height, width)]
    for _ in filters:
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    smallest = (filters[-1], *sizes[-1])

    encoder: list[nn.Module] = [nn.Unflatten(1, image_shape)]
    for n_in, n_out in pairwise([channels, *filters]):
        encoder += [nn.Conv2d(n_in, n_out, 3, stride=2, padding=1), ACTIVATIONS[activation]()]
    encoder += [_ImagesToRows(), *_dense([math.prod(smallest), n_dense], activation)]
    encoder += [nn.Linear(n_dense, 2 * latent_dim)]

    decoder = _dense([latent_dim, math.prod(smallest)], activation)
    decoder += [_RowsToImages(smallest)]
    n_last = n_outputs // (height * width)
    stages = zip(pairwise([*reversed(filters), n_last]), pairwise(reversed(sizes)), strict=True)
    for stage, ((n_in, n_out), (small, large)) in enumerate(stages, start=1):
        # Doubling gives 2 * small - 1 rows, or one more where the image had an even number.
        extra = (large[0] - 2 * small[0] + 1, large[1] - 2 * small[1] + 1)
        decoder += [nn.ConvTranspose2d(n_in, n_out, 3, 2, 1, extra, bias=False)]
        # The module's own bias, which starts at the data's marginals, is the last layer's.
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
) -> Architecture:
    """Return the callable that `architecture` names, with its options filled in.

    Raises
    ------
    ValueError
        If the options do not fit the architecture or the width of the data.
    """
    if callable(architecture):
        return architecture
    if architecture != "conv":
        sizes = _widths(hidden_layer_sizes, auto=(256, 128))
        network = ARCHITECTURES[architecture]
        return partial(network, hidden_layer_sizes=sizes, activation=activation)
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
    """Return (channels, height, width), checked against the width of the data."""
    sizes = () if image_shape is None else image_shape
    if len(sizes) not in (2, 3) or not all(isinstance(size, int) and size > 0 for size in sizes):
        raise ValueError(
            "architecture='conv' needs image_shape=(height, width) or (channels, height, width), "
            f"positive integers; got {image_shape}."
        )
    channels, height, width = (1, *sizes)[-3:]
    if channels * height * width != n_features:
        raise ValueError(
            f"image_shape={tuple(sizes)} holds {channels * height * width} values, but X "
            f"has {n_features} features."
        )
    return channels, height, width


def build_networks(
    architecture: Architecture,
    *,
    n_features: int,
    latent_dim: int,
    n_outputs: int,
    generator: Generator,
) -> tuple[nn.Module, nn.Module]:
    """Return an encoder and a decoder with start weights drawn from `generator`.

    The architectures of this module never see torch's global generator. One of the
    user's own may draw from it, so it runs with a seeded copy, and the original is put
    back.

    Raises
    ------
    TypeError, ValueError
        If a callable of the user's returns something else than two modules that fit.
    """
    if isinstance(architecture, partial) and architecture.func in ARCHITECTURES.values():
        with torch.device("meta"):
            encoder, decoder = architecture(n_features, latent_dim, n_outputs)
        for network in (encoder, decoder):
            _draw_weights(network, generator)
        return encoder, decoder
    seed = int(torch.randint(2**62, (), generator=generator))
    with seeded_global_generator(seed, torch.device("cpu")):
        networks = architecture(n_features, latent_dim, n_outputs)
    return _checked(networks, n_features, latent_dim, n_outputs)


@torch.no_grad()
def _draw_weights(network: nn.Module, generator: Generator) -> None:
    """Give layers without data weights from U(-1/sqrt(fan_in), 1/sqrt(fan_in)), torch's default.

    Smaller than He's or Glorot's, it reached a better bound in few epochs. `Module.to_empty`
    would do the first half, but imports much of torch for it, which takes longer than a fit.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            bound = layer.weight[0].numel() ** -0.5
            for name, old in list(layer.named_parameters(recurse=False)):
                # With channels last, convolutions are faster.
                order = torch.channels_last if old.ndim == 4 else torch.contiguous_format
                new = torch.empty(old.shape, memory_format=order)
                new.uniform_(-bound, bound, generator=generator)
                layer.register_parameter(name, nn.Parameter(new))
        elif isinstance(layer, FourierFeatures):
            layer.draw(generator)


def _checked(
    networks: object, n_features: int, latent_dim: int, n_outputs: int
) -> tuple[nn.Module, nn.Module]:
    """Return the user's encoder and decoder if they are what they should be."""
    if not (
        isinstance(networks, tuple)
        and len(networks) == 2
        and all(isinstance(network, nn.Module) for network in networks)
    ):
        raise TypeError(
            "The architecture callable must return a tuple (encoder, decoder) of two "
            f"torch.nn.Module; got {networks!r}."
        )
    encoder, decoder = networks
    for role, network, n_in, n_out in (
        ("encoder", encoder, n_features, 2 * latent_dim),
        ("decoder", decoder, latent_dim, n_outputs),
    ):
        _check_shape(role, network, n_in, n_out)
    return encoder.train(), decoder.train()


def _check_shape(role: str, network: nn.Module, n_in: int, n_out: int) -> None:
    """Pass two rows of zeros through a network of the user's."""
    network.eval()
    try:
        with torch.no_grad():
            shape = tuple(network(torch.zeros(2, n_in)).shape)
    except Exception as error:
        raise ValueError(
            f"The {role} that the architecture callable returned fails on a float32 tensor of "
            f"shape (2, {n_in}): {error}"
        ) from error
    if shape != (2, n_out):
        raise ValueError(
            f"The {role} that the architecture callable returned maps (n, {n_in}) to "
            f"{('n', *shape[1:])}, not to (n, {n_out})."
        )
