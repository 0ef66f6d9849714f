"""A module whose columns also depend on those before them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ._likelihoods import Histogram
from ._module import VAE, VAEConfig

_CONTEXT_WIDTH = 64


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
        n_columns, n_levels = config.n_features, sum(self.likelihood.sizes)

        def normal(*shape: int, scale: float) -> nn.Parameter:
            return nn.Parameter(scale * torch.randn(shape, generator=generator))

        k, width = config.latent_dim, _CONTEXT_WIDTH
        self.of_code = normal(k, width, scale=1 / math.sqrt(k))
        self.of_level = normal(n_levels, width, scale=1 / math.sqrt(n_columns))
        self.of_column = nn.Parameter(torch.zeros(n_columns, width))
        self.to_logits = nn.Parameter(torch.zeros(n_levels, width))
        self.widest = max(self.widest, n_columns * width)

    def feature_log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        params = self.decode(z)
        if not self.config.autoregressive:
            return self._feature_log_prob(x, params)
        logits = params["logits"].detach() + self._departures(x, z.detach())
        refined = self._feature_log_prob(x, {**params, "logits": logits})
        if not torch.is_grad_enabled():
            return refined
        # Its value is the refined one, and encoder and decoder learn from the plain one.
        plain = self._feature_log_prob(x, params)
        return refined + (plain - plain.detach())

    def mean(self, z: Tensor) -> Tensor:
        """Return the middle cell of each column, (..., n_features), given those before it."""
        return self._in_turn(z, self.likelihood.middle)

    def sample(self, z: Tensor, generator: Generator) -> Tensor:
        """Draw a cell of each column, (..., n_features), given those before it."""
        return self.sample_where(z, {}, generator)[0]

    def sample_where(
        self, z: Tensor, allowed: Mapping[int, Tensor], generator: Generator
    ) -> tuple[Tensor, Tensor]:
        """Draw cells, some columns' from those allowed, and tell how probable that was.

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
            Sum over those columns of the log-probability of what is allowed, given the code and
            the columns before.
        """
        log_p = z.new_zeros(z.shape[:-1])

        def draw(j: int, logits: Tensor) -> Tensor:
            nonlocal log_p
            if j in allowed:
                p = self.likelihood.cell_probabilities(j, logits)
                log_p = log_p + ((p * allowed[j].to(p)).sum(-1) / p.sum(-1)).log()
            return self.likelihood.draw(j, logits, generator, allowed.get(j))

        return self._in_turn(z, draw), log_p

    def _in_turn(self, z: Tensor, choose: Callable[[int, Tensor], Tensor]) -> Tensor:
        """Return cells, (..., n_features), each chosen by the column's number and logits."""
        logits = self.decode(z)["logits"].split(self.likelihood.sizes, -1)
        if not self.config.autoregressive:
            return torch.stack([choose(j, part) for j, part in enumerate(logits)], -1).to(z.dtype)
        first_cell, level = self.constants["first_cell"], self.constants["level"]
        context = z @ self.of_code
        cells = []
        for j, to_logits in enumerate(self.to_logits.split(self.likelihood.sizes)):
            departure = F.gelu(context + self.of_column[j]) @ to_logits.T
            cell = choose(j, logits[j] + departure).long()
            context = context + self.of_level[level[cell + first_cell[j]]]
            cells.append(cell)
        return torch.stack(cells, -1).to(z.dtype)

    def _departures(self, x: Tensor, z: Tensor) -> Tensor:
        """Return how far logits are from the decoder's, (..., n, n_levels), for rows x."""
        level, is_known = self.likelihood.levels(self._complete(x), self.constants)
        of_levels = F.embedding(level, self.of_level) * is_known.unsqueeze(-1)  # (n, d, width)
        before = of_levels.cumsum(-2) - of_levels + self.of_column
        context = F.gelu((z @ self.of_code).unsqueeze(-2) + before)  # (..., n, d, width)
        per_column = self.to_logits.split(self.likelihood.sizes)
        departures = [context[..., j, :] @ part.T for j, part in enumerate(per_column)]
        return torch.cat(departures, -1)
