"""Base class of the priors, and the types of their arguments."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from numbers import Integral
from typing import Any, Literal

from torch import Generator, Tensor

from ..utils import check_choice

Parameters = dict[str, Tensor]
# Maps inputs of the encoder, (m, n_inputs), to the means and log-variances of q(z | x), (m, k).
Encode = Callable[[Tensor], tuple[Tensor, Tensor]]


class Prior(ABC):
    """Base class for distributions p(z) of codes.

    Subclasses are frozen dataclasses without weights: the module owns the parameters and passes
    `params` to each method. Codes are in units in which the normal prior is N(0, I).
    """

    # How a prior with parameters learns: see `LearnedPrior`.
    training: Literal["joint", "separate"] = "joint"

    @abstractmethod
    def initial_params(self, latent_dim: int, inputs: Tensor, generator: Generator) -> Parameters:
        """Return parameters at the start of training.

        Parameters
        ----------
        latent_dim : int
            Number of latent dimensions k.
        inputs : Tensor of shape (n, n_inputs)
            Inputs of the encoder for training rows, or for a random sample of them.
        generator : torch.Generator
            Source of randomness, on the CPU.

        Returns
        -------
        params : dict of str to Tensor
            Tensors by name, in float32.
        """

    @abstractmethod
    def parameter_shapes(self, latent_dim: int, n_inputs: int) -> dict[str, tuple[int, ...]]:
        """Return the shape of each parameter, by name.

        Parameters
        ----------
        latent_dim : int
            Number of latent dimensions k.
        n_inputs : int
            Number of inputs of the encoder.
        """

    def is_fixed(self, name: str) -> bool:
        """Return whether a parameter keeps its initial value in training. False by default."""
        return False

    def width(self, latent_dim: int) -> int:
        """Return the largest number of elements per code that `log_prob` computes."""
        return latent_dim

    def derived_params(self, params: Parameters, encode: Encode) -> Parameters:
        """Return the parameters of the distribution, which may depend on the encoder.

        Parameters
        ----------
        params : dict of str to Tensor
            Tensors with the names and shapes of `parameter_shapes`.
        encode : callable
            The encoder.

        Returns
        -------
        params : dict of str to Tensor
            The parameters of `log_prob` and `sample`. By default, `params`.
        """
        return params

    @abstractmethod
    def log_prob(self, z: Tensor, params: Parameters) -> Tensor:
        """Return the log-density of codes, in nats.

        Parameters
        ----------
        z : Tensor of shape (..., k)
            Codes.
        params : dict of str to Tensor
            Result of `derived_params`.

        Returns
        -------
        log_prob : Tensor of shape (...)
        """

    @abstractmethod
    def sample(self, eps: Tensor, params: Parameters, generator: Generator) -> Tensor:
        """Map standard normal draws to draws from the prior.

        Parameters
        ----------
        eps : Tensor of shape (n, k)
            Standard normal draws.
        params : dict of str to Tensor
            Result of `derived_params`.
        generator : torch.Generator
            Source of further randomness, on the device of `eps`. The global random state of torch
            stays untouched.

        Returns
        -------
        z : Tensor of shape (n, k)
        """


class LearnedPrior(Prior):
    """A prior with parameters that are learned.

    `training` is the objective of encoder and decoder. "joint": the bound with this prior.
    "separate": the bound with the normal prior, while this prior learns the distribution of the
    codes.
    """

    def __post_init__(self) -> None:
        name = type(self).__name__
        check_choice(f"{name}(training=...)", self.training, ("joint", "separate"))


def check_count(name: str, value: Any) -> None:
    """Raise `ValueError` if the value of a parameter is not a positive integer."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name} must be an integer of at least 1; got {value!r}.")
