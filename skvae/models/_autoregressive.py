"""Modules for tables of bins: columns that are independent given the code, or autoregressive."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ..likelihoods import Histogram
from ._config import VAEConfig
from ._vae import VAE

# Number of units that summarise the preceding columns. With more units, the model overfits.
_CONTEXT_WIDTH = 16
# Chooses a bin of each row for column j, given the coefficients of the column's logits.
ChooseBin = Callable[[int, Tensor], Tensor]


class HistogramVAE(VAE):
    """A VAE over bin numbers of columns, which are independent given the code.

    Parameters
    ----------
    config : VAEConfig
        Configuration with a `Histogram` as likelihood.
    generator : torch.Generator
        Random generator of the initial weights.
    """

    likelihood: Histogram

    def mean(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the representative bin of each column, (..., n_features)."""

        def choose(j: int, coefficients: Tensor) -> Tensor:
            return self.likelihood.representative_bin(j, coefficients, self.constants)

        return self._choose_bins(z, c, choose)

    def sample(self, z: Tensor, generator: Generator, c: Tensor | None = None) -> Tensor:
        """Draw a bin of each column, (..., n_features)."""
        return self.sample_allowed(z, {}, generator, c)[0]

    def complete(self, x: Tensor, z: Tensor, generator: Generator | None = None) -> Tensor:
        """Return bins of all columns, (..., n_features), which do not depend on x given z."""
        _, c = self.split(x)
        return self.mean(z, c) if generator is None else self.sample(z, generator, c)

    def sample_allowed(
        self,
        z: Tensor,
        allowed: Mapping[int, Tensor],
        generator: Generator,
        c: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Draw a bin of each column, in some columns only from the allowed bins.

        Parameters
        ----------
        z : Tensor of shape (..., latent_dim)
        allowed : mapping
            Number of a column to the allowed fraction of each bin of the column, (n_bins,).
        generator : torch.Generator
        c : Tensor of shape (..., n_conditions), optional
            Conditions.

        Returns
        -------
        bins : Tensor of shape (..., n_features)
            Bin numbers.
        log_p : Tensor of shape (...)
            Log-probability of the allowed bins, given the code and the columns before, summed over
            the columns of `allowed`.
        """
        log_p = z.new_zeros(z.shape[:-1])

        def draw(j: int, coefficients: Tensor) -> Tensor:
            nonlocal log_p
            bins, log_p_column = self.likelihood.sample_column(
                j, coefficients, self.constants, generator, allowed.get(j)
            )
            if log_p_column is not None:
                log_p = log_p + log_p_column
            return bins

        return self._choose_bins(z, c, draw), log_p

    def _choose_bins(self, z: Tensor, c: Tensor | None, choose: ChooseBin) -> Tensor:
        """Return the chosen bin of each column, (..., n_features)."""
        columns = self.likelihood.split(self.decode(z, c)["coefficients"])
        return torch.stack([choose(j, coefficients) for j, coefficients in enumerate(columns)], -1)


class AutoregressiveVAE(HistogramVAE):
    """A VAE over bin numbers of columns, with p(x_j | z, x_1, ..., x_{j-1}) for column j.

    Encoder and decoder learn as if columns were independent given the code. Otherwise the code
    would carry no information (Chen et al., "Variational lossy autoencoder", ICLR 2017). A neural
    autoregressive distribution estimator (Larochelle and Murray, AISTATS 2011) given the code
    learns how the preceding columns change the logits of each column. Gradients of the estimator
    stop at the code and the decoder.

    Parameters
    ----------
    config : VAEConfig
        Configuration with a `Histogram` as likelihood.
    generator : torch.Generator
        Random generator of the initial weights.
    """

    def __init__(self, config: VAEConfig, generator: Generator | None) -> None:
        super().__init__(config, generator)
        d, k, width = config.n_features, self.n_decoder_inputs, _CONTEXT_WIDTH
        n_levels = sum(column.n_levels for column in self.likelihood.columns)
        n_coefficients = self.likelihood.decoder_width(d)
        self.code_weight = nn.Parameter(_draw(k, width, math.sqrt(k), generator))
        self.level_embedding = nn.Parameter(_draw(n_levels, width, math.sqrt(d), generator))
        self.column_bias = nn.Parameter(torch.zeros(d, width, dtype=torch.float32))
        self.output_weight = nn.Parameter(torch.zeros(n_coefficients, width, dtype=torch.float32))
        self.max_width = max(self.max_width, d * width)

    def feature_log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """Return the term of each feature in `log_likelihood`, (..., n, n_features)."""
        x, c = self.split(x)
        params = self.decode(z, c)
        independent = params["coefficients"]
        refined = independent.detach() + self._corrections(x, self._with_covariates(z.detach(), c))
        if not torch.is_grad_enabled():
            return self._feature_log_prob(x, {**params, "coefficients": refined})
        both = torch.stack([independent, refined])
        log_p_independent, log_p = self._feature_log_prob(x, {**params, "coefficients": both})
        # The value of the refined model, with the gradient of the independent model for encoder and
        # decoder.
        return log_p + (log_p_independent - log_p_independent.detach())

    def _choose_bins(self, z: Tensor, c: Tensor | None, choose: ChooseBin) -> Tensor:
        """Return the chosen bin of each column, (..., n_features), given the columns before."""
        columns = self.likelihood.split(self.decode(z, c)["coefficients"])
        weights = self.likelihood.split(self.output_weight, 0)
        bin_offset, level = self.constants["bin_offset"], self.constants["level"]
        summary = self._with_covariates(z, c) @ self.code_weight
        bins = []
        for j, (coefficients, weight) in enumerate(zip(columns, weights, strict=True)):
            context = F.gelu(summary + self.column_bias[j])
            chosen = choose(j, coefficients + context @ weight.T)
            summary = summary + self.level_embedding[level[chosen.long() + bin_offset[j]]]
            bins.append(chosen)
        return torch.stack(bins, -1)

    def _corrections(self, x: Tensor, z: Tensor) -> Tensor:
        """Return the change of each coefficient by the columns before, (..., n, n_coefficients).

        `z` are codes with covariates.
        """
        level, is_known = self.likelihood.levels(self._fill_missing(x), self.constants)
        embedded = F.embedding(level, self.level_embedding) * is_known.unsqueeze(-1)
        before = embedded.cumsum(-2) - embedded + self.column_bias  # (n, d, width)
        context = F.gelu((z @ self.code_weight).unsqueeze(-2) + before)  # (..., n, d, width)
        weights = self.likelihood.split(self.output_weight, 0)
        return torch.cat([context[..., j, :] @ w.T for j, w in enumerate(weights)], -1)


def _draw(n: int, width: int, divisor: float, generator: Generator | None) -> Tensor:
    """Return normal draws, (n, width), divided by `divisor`; an empty tensor without generator."""
    if generator is None:  # arithmetic on the device "meta" would import large parts of torch
        return torch.empty(n, width, dtype=torch.float32)
    return torch.randn(n, width, generator=generator, dtype=torch.float32) / divisor


def build_vae(config: VAEConfig, generator: Generator) -> VAE:
    """Return the module of a configuration, with initial weights drawn from `generator`.

    Raises
    ------
    TypeError, ValueError
        If the configuration is inconsistent.
    """
    return _module_class(config)(config, generator)


def weight_shapes(config: VAEConfig) -> dict[str, tuple[int, ...]]:
    """Return the shape of each weight of a module, by name, without memory for the weights.

    Custom networks are refused: they may not support the device "meta".

    Raises
    ------
    TypeError, ValueError
        If the configuration is inconsistent.
    """
    if callable(config.architecture):
        raise TypeError("The shapes of custom networks are not known before they are built.")
    with torch.device("meta"):
        module = _module_class(config)(config, None)
    return {name: tuple(weight.shape) for name, weight in module.state_dict().items()}


def _module_class(config: VAEConfig) -> type[VAE]:
    if config.autoregressive:
        return AutoregressiveVAE
    return HistogramVAE if isinstance(config.likelihood, Histogram) else VAE
