"""Convolutional networks for images, and the shapes of images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..utils import autocast
from ._perceptrons import ACTIVATIONS, dense

# Largest last size of an image shape that looks like a number of channels.
_MAX_LAST_CHANNELS = 4


class _ImagesToRows(nn.Module):
    """Flatten images, (n, c, h, w), to rows, (n, h * w * c), in the order of the memory."""

    def forward(self, images: Tensor) -> Tensor:
        return images.permute(0, 2, 3, 1).flatten(1)


class _Beside(nn.Module):
    """Layers for the first inputs, (n, n_inputs), whose outputs the other inputs follow."""

    def __init__(self, layers: Sequence[nn.Module], n_inputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.n_inputs = n_inputs

    def forward(self, rows: Tensor) -> Tensor:
        outputs = self.layers(rows[:, : self.n_inputs])
        return torch.cat([outputs, rows[:, self.n_inputs :]], dim=1)


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


class _NarrowConv2d(nn.Conv2d):
    """A convolution of images with a width of one pixel, in float32.

    In bfloat16, the CPU kernels of torch 2.13 leave gradients of the weights beyond the pixel
    uninitialised, so results would be random, and sometimes NaN.
    """

    def forward(self, images: Tensor) -> Tensor:
        with autocast(images.device, torch.float32):
            return super().forward(images.to(self.weight.dtype))


class _NarrowConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution of images with a width of one pixel: see `_NarrowConv2d`."""

    def forward(self, images: Tensor, output_size: list[int] | None = None) -> Tensor:
        with autocast(images.device, torch.float32):
            return super().forward(images.to(self.weight.dtype), output_size)


def conv(
    n_features: int,
    latent_dim: int,
    n_outputs: int,
    *,
    image_shape: tuple[int, int, int],
    hidden_layer_sizes: Sequence[int],
    activation: str,
    n_covariates: int = 0,
) -> tuple[nn.Module, nn.Module]:
    """Return a convolutional encoder, and a decoder of transposed convolutions.

    Each stage of the encoder halves the image by 3x3 filters with stride 2, and each stage of the
    decoder doubles the image. The last entry of `hidden_layer_sizes` is the width of the encoder's
    dense layer in front of the code. The other entries are the numbers of filters. The dense layer
    sees the features that follow the image in a row, and the decoder sees covariates after the
    code.
    """
    *filters, n_dense = hidden_layer_sizes
    channels, height, width = image_shape
    sizes = [(height, width)]
    for _ in filters:
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    smallest = (filters[-1], *sizes[-1])

    encoder: list[nn.Module] = [nn.Unflatten(1, image_shape)]
    for (n_in, n_out), size in zip(pairwise([channels, *filters]), sizes, strict=False):
        layer = _NarrowConv2d if size[1] == 1 else nn.Conv2d
        encoder += [layer(n_in, n_out, 3, stride=2, padding=1), ACTIVATIONS[activation]()]
    encoder += [_ImagesToRows()]
    n_pixels = math.prod(image_shape)
    n_further = n_features - n_pixels
    if n_further:
        encoder = [_Beside(encoder, n_pixels)]
    encoder += dense([math.prod(smallest) + n_further, n_dense], activation)
    encoder += [nn.Linear(n_dense, 2 * latent_dim)]

    decoder = dense([latent_dim + n_covariates, math.prod(smallest)], activation)
    decoder += [_RowsToImages(smallest)]
    n_last = n_outputs // (height * width)
    stages = zip(pairwise([*reversed(filters), n_last]), pairwise(reversed(sizes)), strict=True)
    for stage, ((n_in, n_out), (small, large)) in enumerate(stages, start=1):
        # A stage gives 2 * small - 1 rows, plus one row if the larger image has an even number.
        extra = (large[0] - 2 * small[0] + 1, large[1] - 2 * small[1] + 1)
        transposed = _NarrowConvTranspose2d if small[1] == 1 else nn.ConvTranspose2d
        decoder += [transposed(n_in, n_out, 3, 2, 1, extra, bias=False)]
        # The last layer has no bias: the VAE adds a bias.
        is_last = stage == len(filters)
        decoder += [nn.Flatten()] if is_last else [_Bias(n_out), ACTIVATIONS[activation]()]
    return nn.Sequential(*encoder), nn.Sequential(*decoder)


def check_image_shape(image_shape: Sequence[int] | None, n_features: int) -> tuple[int, int, int]:
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
