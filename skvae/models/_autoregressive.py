"""A module whose columns also depend on those before them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ..likelihoods import Histogram
from ._vae import VAE, VAEConfig

# Units that sum up the columns before. More of them fit the training rows alone.
_CONTEXT_WIDTH = 16


class AutoregressiveVAE(VAE):
    """A VAE over cells of columns, with p(x_j | z, x_1, ..., x_{j-1}) for column j.

    What columns have in common is the code's business: encoder and decoder learn as if columns
    were independent given the code, for else the code would be left without anything to say
    (Chen et al., "Variational lossy autoencoder", ICLR 2017). A second part learns how far each
    column's logits are from the decoder's once the columns before it are known. It is the neural
    autoregressive distribution estimator (Larochelle and Murray, AISTATS 2011), given the code.
    Its gradient stops at code and decoder.

    Parameters
    ----------
    config : VAEConfig
        With a `Histogram` as likelihood. Without its `autoregressive`, columns are independent.
    generator : torch.Generator
        Source of the start weights.
    """

    likelihood: Histogram

    def __init__(self, config: VAEConfig, generator: Generator) -> None:
        super().__init__(config, generator)
        if not config.autoregressive:
            return
        d, k, width = config.n_features, config.latent_dim, _CONTEXT_WIDTH
        n_levels = sum(column.n_levels for column in self.likelihood.columns)
        n_coefficients = self.likelihood.decoder_width(d)
        code_weight = torch.randn(k, width, generator=generator) / math.sqrt(k)
        level_embedding = torch.randn(n_levels, width, generator=generator) / math.sqrt(d)
        self.code_weight, self.level_embedding = (
            nn.Parameter(code_weight),
            nn.Parameter(level_embedding),
        )
        self.column_bias = nn.Parameter(torch.zeros(d, width))
        self.output_weight = nn.Parameter(torch.zeros(n_coefficients, width))
        self.max_width = max(self.max_width, d * width)

    def feature_log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        params = self.decode(z)
        if not self.config.autoregressive:
            return self._feature_log_prob(x, params)
        plain = params["coefficients"]
        refined = plain.detach() + self._departures(x, z.detach())
        if not torch.is_grad_enabled():
            return self._feature_log_prob(x, {**params, "coefficients": refined})
        both = torch.stack([plain, refined])
        log_p_plain, log_p = self._feature_log_prob(x, {**params, "coefficients": both})
        # The value is the refined one. Encoder and decoder learn from the plain one.
        return log_p + (log_p_plain - log_p_plain.detach())

    def mean(self, z: Tensor) -> Tensor:
        """Return the middle cell of each column, (..., n_features), given those before it."""
        return self._in_turn(
            z, lambda j, c: self.likelihood.representative_bin(j, c, self.constants)
        )

    def sample(self, z: Tensor, generator: Generator) -> Tensor:
        """Draw a cell of each column, (..., n_features), given those before it."""
        return self.sample_where(z, {}, generator)[0]

    def sample_where(
        self, z: Tensor, allowed: Mapping[int, Tensor], generator: Generator
    ) -> tuple[Tensor, Tensor]:
        """Draw cells, some columns' from those allowed, and tell how probable those were.

        Parameters
        ----------
        z : Tensor of shape (..., latent_dim)
        allowed : mapping
            For the number of a column, the share of each of its cells that is allowed, (n_cells,).
        generator : torch.Generator

        Returns
        -------
        cells : Tensor of shape (..., n_features)
        log_p : Tensor of shape (...)
            Of what is allowed given the code and the columns before, summed over those columns.
        """
        log_p = z.new_zeros(z.shape[:-1])

        def draw(j: int, coefficients: Tensor) -> Tensor:
            nonlocal log_p
            p = self.likelihood.sampling_weights(j, coefficients, self.constants)
            if j in allowed:
                of_allowed = p * allowed[j].to(p)
                log_p = log_p + (of_allowed.sum(-1) / p.sum(-1)).log()
                p = of_allowed
            return self.likelihood.draw(p, generator)

        return self._in_turn(z, draw), log_p

    def _in_turn(self, z: Tensor, choose: Callable[[int, Tensor], Tensor]) -> Tensor:
        """Return cells, (..., n_features), each chosen by its column's number and coefficients."""
        per_column = self.likelihood.split(self.decode(z)["coefficients"])
        if not self.config.autoregressive:
            return torch.stack([choose(j, c) for j, c in enumerate(per_column)], -1)
        bin_offset, level = self.constants["bin_offset"], self.constants["level"]
        before = z @ self.code_weight
        cells = []
        weights = self.likelihood.split(self.output_weight, 0)
        for j, (coefficients, weight) in enumerate(zip(per_column, weights, strict=True)):
            context = F.gelu(before + self.column_bias[j])
            cell = choose(j, coefficients + context @ weight.T)
            before = before + self.level_embedding[level[cell.long() + bin_offset[j]]]
            cells.append(cell)
        return torch.stack(cells, -1)

    def _departures(self, x: Tensor, z: Tensor) -> Tensor:
        """Return what the columns before add to each coefficient, (..., n, n_coefficients)."""
        level, is_known = self.likelihood.levels(self._fill_missing(x), self.constants)
        of_levels = F.embedding(level, self.level_embedding) * is_known.unsqueeze(
            -1
        )  # (n, d, width)
        before = of_levels.cumsum(-2) - of_levels + self.column_bias
        context = F.gelu((z @ self.code_weight).unsqueeze(-2) + before)  # (..., n, d, width)
        weights = self.likelihood.split(self.output_weight, 0)
        return torch.cat([context[..., j, :] @ w.T for j, w in enumerate(weights)], -1)
