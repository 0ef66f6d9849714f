"""Mixtures of diagonal Gaussians: components of their own, or posteriors of pseudo-inputs."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

from ..serialization import serializable
from ..utils import soft_clamp
from ._base import Encode, LearnedPrior, Parameters, check_count

# Standard deviations of components stay within a factor e^5 (about 150) of the normal prior's.
_MAX_LOG_VAR = 10.0
# Fraction of the variance of codes that lies between the components of a mixture at the start.
_SPREAD = 0.5


class Components(LearnedPrior):
    """Mixture of diagonal Gaussians.

    `derived_params` contains "mean" and "log_var", (m, k), and "log_weight", (m,), of the m
    components.
    """

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of components m."""

    def width(self, latent_dim: int) -> int:
        return self.size * latent_dim

    def log_joint(self, z: Tensor, params: Parameters) -> Tensor:
        """Return the log-density of codes and components, in nats.

        Parameters
        ----------
        z : Tensor of shape (..., k)
            Codes.
        params : dict of str to Tensor
            Result of `derived_params`.

        Returns
        -------
        log_joint : Tensor of shape (..., m)
        """
        mean, log_var = params["mean"], params["log_var"]  # (m, k)
        distance = (z.unsqueeze(-2) - mean).square() * torch.exp(-log_var)  # (..., m, k)
        log_normaliser = log_var.sum(-1) + z.shape[-1] * math.log(2 * math.pi)  # (m,)
        return params["log_weight"] - 0.5 * (distance.sum(-1) + log_normaliser)

    def log_prob(self, z: Tensor, params: Parameters) -> Tensor:
        return torch.logsumexp(self.log_joint(z, params), -1)

    def sample(self, eps: Tensor, params: Parameters, generator: Generator) -> Tensor:
        weight = params["log_weight"].exp()
        chosen = torch.multinomial(weight, len(eps), replacement=True, generator=generator)
        return params["mean"][chosen] + torch.exp(0.5 * params["log_var"][chosen]) * eps


@serializable
@dataclass(frozen=True)
class Mixture(Components):
    """Mixture of diagonal Gaussians, with learned means, variances and weights.

    Parameters
    ----------
    n_components : int, default=10
        Number of components.
    training : {"joint", "separate"}, default="joint"
        Objective of encoder and decoder. "joint": the bound with this prior. "separate": the bound
        with the normal prior, while this prior learns the distribution of the codes.

    References
    ----------
    Dilokthanakul et al., "Deep unsupervised clustering with Gaussian mixture variational
    autoencoders", arXiv:1611.02648.

    Examples
    --------
    >>> from skvae.priors import Mixture
    >>> Mixture(n_components=4)
    Mixture(n_components=4, training='joint')
    """

    n_components: int = 10
    training: Literal["joint", "separate"] = "joint"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("Mixture(n_components=...)", self.n_components)

    @property
    def size(self) -> int:
        return self.n_components

    def parameter_shapes(self, latent_dim: int, n_inputs: int) -> dict[str, tuple[int, ...]]:
        m = self.n_components
        return {"mean": (m, latent_dim), "log_var": (m, latent_dim), "logits": (m,)}

    def initial_params(self, latent_dim: int, inputs: Tensor, generator: Generator) -> Parameters:
        """Return components whose mixture has mean 0 and about unit variance."""
        m = self.n_components
        mean = torch.randn(m, latent_dim, generator=generator, dtype=torch.float32)
        mean = (mean - mean.mean(0)) * math.sqrt(_SPREAD)  # a variance of (1 - 1 / m) * _SPREAD
        var = 1 - _SPREAD * (1 - 1 / m)
        return {
            "mean": mean,
            "log_var": torch.full_like(mean, math.log(var)),
            "logits": torch.zeros(m, dtype=torch.float32),
        }

    def derived_params(self, params: Parameters, encode: Encode) -> Parameters:
        return {
            "mean": params["mean"],
            "log_var": soft_clamp(params["log_var"], _MAX_LOG_VAR),
            "log_weight": torch.log_softmax(params["logits"], 0),
        }


@serializable
@dataclass(frozen=True)
class VampPrior(Components):
    """Mixture of the posteriors q(z | u) of pseudo-inputs u, with equal weights.

    Pseudo-inputs are inputs of the encoder, and start at random training rows. The prior
    approximates the aggregated posterior, the distribution of the codes of the training rows.

    Parameters
    ----------
    n_pseudo_inputs : int, default=100
        Number of pseudo-inputs.
    learned : bool, default=True
        Whether to learn pseudo-inputs. Otherwise, they remain training rows.
    training : {"joint", "separate"}, default="joint"
        Objective of encoder and decoder. "joint": the bound with this prior. "separate": the bound
        with the normal prior, while this prior learns the distribution of the codes.

    References
    ----------
    Tomczak and Welling, "VAE with a VampPrior", AISTATS 2018.

    Examples
    --------
    >>> from skvae.priors import VampPrior
    >>> VampPrior(n_pseudo_inputs=50)
    VampPrior(n_pseudo_inputs=50, learned=True, training='joint')
    """

    n_pseudo_inputs: int = 100
    learned: bool = True
    training: Literal["joint", "separate"] = "joint"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("VampPrior(n_pseudo_inputs=...)", self.n_pseudo_inputs)
        if not isinstance(self.learned, bool):
            raise ValueError(f"VampPrior(learned=...) must be True or False; got {self.learned!r}.")

    @property
    def size(self) -> int:
        return self.n_pseudo_inputs

    def parameter_shapes(self, latent_dim: int, n_inputs: int) -> dict[str, tuple[int, ...]]:
        return {
            "pseudo_inputs": (self.n_pseudo_inputs, n_inputs),
            "log_bandwidth": (latent_dim,),
        }

    def is_fixed(self, name: str) -> bool:
        return name == "pseudo_inputs" and not self.learned

    def initial_params(self, latent_dim: int, inputs: Tensor, generator: Generator) -> Parameters:
        """Return random rows, each row once before any row occurs again."""
        n_rounds = -(-self.n_pseudo_inputs // len(inputs))
        order = [torch.randperm(len(inputs), generator=generator) for _ in range(n_rounds)]
        chosen = torch.cat(order)[: self.n_pseudo_inputs]
        log_bandwidth = -math.log(self.n_pseudo_inputs) / (latent_dim + 4)  # Scott's rule
        return {
            "pseudo_inputs": inputs[chosen].to(torch.float32),
            "log_bandwidth": torch.full((latent_dim,), log_bandwidth, dtype=torch.float32),
        }

    def derived_params(self, params: Parameters, encode: Encode) -> Parameters:
        mean, log_var = encode(params["pseudo_inputs"])
        log_bandwidth = soft_clamp(params["log_bandwidth"], _MAX_LOG_VAR)
        log_var = torch.logaddexp(log_var, 2 * log_bandwidth)
        log_weight = mean.new_full((self.n_pseudo_inputs,), -math.log(self.n_pseudo_inputs))
        return {"mean": mean, "log_var": log_var, "log_weight": log_weight}
