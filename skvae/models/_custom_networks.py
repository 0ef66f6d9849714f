"""Checks of the networks that custom architectures return."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def check_networks(
    networks: object, n_features: int, latent_dim: int, n_outputs: int
) -> tuple[nn.Module, nn.Module]:
    """Return a custom encoder and decoder in training mode, after a check of what they return.

    Raises
    ------
    TypeError, ValueError
        If `networks` is not a tuple of two modules that return tensors with the right shapes.
    """
    if not (
        isinstance(networks, tuple)
        and len(networks) == 2
        and all(isinstance(network, nn.Module) for network in networks)
    ):
        raise TypeError(
            "The architecture callable must return a tuple (encoder, decoder) of two "
            f"torch.nn.Module; got {networks!r}."
        )
    # Weights are float32, whatever torch's default dtype is.
    encoder, decoder = (network.float() for network in networks)
    output = _call("encoder", encoder, n_features)
    if isinstance(output, tuple | list) and len(output) == 2:
        for part in output:
            _check_output("encoder", part, n_features, latent_dim, " each, or one tensor")
    else:
        expected = f", or to a tuple (mean, log_var) of (n, {latent_dim}) each"
        _check_output("encoder", output, n_features, 2 * latent_dim, expected)
    output = _call("decoder", decoder, latent_dim)
    _check_output("decoder", output, latent_dim, n_outputs)
    return encoder.train(), decoder.train()


def join_outputs(output: Tensor | tuple[Tensor, ...] | list[Tensor]) -> Tensor:
    """Return the output of an encoder, a tensor or a tuple (mean, log_var), as a tensor, (n, 2 k).

    Raises
    ------
    TypeError
        If the encoder returns other types during training than when the module was built.
    """
    if isinstance(output, Tensor):
        return output
    if not isinstance(output, tuple | list) or len(output) != 2:
        raise TypeError(
            "During training, the encoder that the architecture callable returned gives "
            f"{_describe(output)}, not one tensor or a tuple (mean, log_var)."
        )
    return torch.cat(list(output), -1)


def _call(role: str, network: nn.Module, n_in: int) -> object:
    """Return what a custom network makes of two rows of numbers between 0 and 1."""
    network.eval()
    x = torch.linspace(0.25, 0.75, 2 * n_in, dtype=torch.float32, device="cpu").view(2, n_in)
    version = x._version
    try:
        with torch.no_grad():
            output = network(x)
    except Exception as error:
        raise ValueError(
            f"The {role} that the architecture callable returned fails on a float32 tensor of "
            f"shape (2, {n_in}): {error}"
        ) from error
    if x._version != version:
        raise ValueError(
            f"The {role} that the architecture callable returned changes its input in place. Pass "
            "inplace=False to the first layer, or copy the input."
        )
    return output


def _check_output(role: str, output: object, n_in: int, n_out: int, or_else: str = "") -> None:
    """Raise an error if the output of a custom network is no finite tensor of shape (2, n_out)."""
    name = f"The {role} that the architecture callable returned"
    expected = f"(n, {n_out}){or_else}"
    if not isinstance(output, Tensor):
        raise TypeError(
            f"{name} maps (n, {n_in}) to {_describe(output)}, not to a tensor of shape {expected}."
        )
    if output.shape != (2, n_out):
        raise ValueError(f"{name} maps (n, {n_in}) to {_shape(output)}, not to {expected}.")
    if output.layout != torch.strided:
        raise TypeError(f"{name} returns a sparse tensor: return a dense tensor.")
    if not output.is_floating_point():
        raise TypeError(f"{name} returns {output.dtype}, not floating-point numbers.")
    if not output.isfinite().all():
        raise ValueError(
            f"{name} returns NaN or infinity for inputs between 0 and 1, with its initial weights."
        )


def _shape(output: Tensor) -> str:
    """Return the shape of the output for n = 2 rows, with n if the output has as many rows."""
    if output.ndim == 0 or len(output) == 2:
        return f"({', '.join(['n', *map(str, output.shape[1:])][: output.ndim])})"
    return f"{tuple(output.shape)} for n=2"


def _describe(output: object) -> str:
    if isinstance(output, tuple | list):
        return f"a {type(output).__name__} of {len(output)}"
    return f"an object of type {type(output).__name__}"
