"""Likelihood of columns of any type, each cut into cells."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar

import torch
from torch import Generator, Tensor
from torch.distributions import constraints

from ._base import Likelihood, Marginals, Parameters, ParameterScope

# With fewer ordered levels than these, order is left for the networks to learn.
_MIN_SMOOTHED_LEVELS = 4


@dataclass(frozen=True)
class ColumnBins:
    """How one column is cut: into levels, and those into cells.

    The decoder says how probable levels are. Where in its level a value lies does not depend on
    the code.

    Parameters
    ----------
    level : tuple of int
        Of each cell, from 0.
    log_fraction : tuple of float
        Of each cell, log p(cell | level).
    log_width : tuple of float
        Of each cell, the log of its width in units of X; 0 for one that is a single value, whose
        probability is a mass.
    observed : tuple of bool
        Of each cell, whether the training data had values there: no other is sampled.
    counts : tuple of float
        Of each level, how many training rows it had.
    representative_bin : tuple of int
        Of each level, the cell that stands for it.
    n_ordered : int
        So many levels, the first ones, are in order.
    """

    level: tuple[int, ...]
    log_fraction: tuple[float, ...]
    log_width: tuple[float, ...]
    observed: tuple[bool, ...]
    counts: tuple[float, ...]
    representative_bin: tuple[int, ...]
    n_ordered: int

    @property
    def n_levels(self) -> int:
        """Number of levels."""
        return len(self.counts)

    @property
    def n_coefficients(self) -> int:
        """Number of functions of the level whose sum is its logit."""
        return self.n_levels + (self.n_ordered >= _MIN_SMOOTHED_LEVELS)

    def log_marginal(self) -> Tensor:
        """Return the log of each level's share of the training rows, (n_levels,)."""
        # Half a row more for each (Jeffreys) keeps levels without any finite.
        return torch.log_softmax((torch.tensor(self.counts, dtype=torch.float64) + 0.5).log(), 0)

    def ranks(self) -> Tensor:
        """Return each ordered level's middle rank in (0, 1), (n_ordered,)."""
        counts = torch.tensor(self.counts[: self.n_ordered], dtype=torch.float64) + 0.5
        return (counts.cumsum(0) - 0.5 * counts) / counts.sum()

    def scores(self) -> Tensor:
        """Return the normal quantile of each ordered level's rank, 0 for others, (n_levels,)."""
        scores = torch.zeros(self.n_levels, dtype=torch.float64)
        scores[: self.n_ordered] = torch.special.ndtri(self.ranks())
        return scores

    def basis(self) -> Tensor:
        """Return functions of the level, (n_coefficients, n_levels).

        For levels in order, those that tilt a normal distribution, and then cosines of the rank.
        The quicker one oscillates, the smaller it is: what is rough takes long to be learned, for
        it takes much data to tell from chance. For others, indicators of the levels.
        """
        n = self.n_ordered
        if n < _MIN_SMOOTHED_LEVELS:
            return torch.eye(self.n_levels, dtype=torch.float64)
        score, rank = self.scores()[:n], self.ranks()
        frequency = torch.arange(1, n, dtype=torch.float64)[:, None]
        cosines = math.sqrt(2) * torch.cos(math.pi * frequency * rank) / frequency.square()
        tilts = torch.stack([score, (score.square() - 1) / math.sqrt(2)])
        indicators = torch.eye(self.n_levels - n, dtype=torch.float64)
        return torch.block_diag(torch.cat([tilts, cosines]), indicators)


@dataclass(frozen=True)
class Histogram(Likelihood):
    """Histograms, one for each column, whose heights depend on the code.

    A value is the number of a cell in its column, from 0.

    Parameters
    ----------
    columns : tuple of ColumnBins
    """

    columns: tuple[ColumnBins, ...]

    support: ClassVar[constraints.Constraint] = constraints.real
    remedy: ClassVar[str] = "Bins are numbered from 0."

    @property
    def parameters(self) -> dict[str, ParameterScope]:
        return {"coefficients": "row"}

    def constants(self) -> Parameters:
        """Return tables of all columns' cells, or levels, one column after the other.

        They are "level", among those of all columns, and "log_density" of each cell, "bin_offset"
        of each column, and "score" of each level; and "log_marginal_j", "basis_j" and
        "sampling_fraction_j" of column j: the last is p(cell | level) where the cell may be drawn.
        """
        n_cells = [len(column.level) for column in self.columns]
        n_levels = [column.n_levels for column in self.columns]
        level = [torch.tensor(column.level) for column in self.columns]
        first_level = accumulate(n_levels[:-1], initial=0)
        share = [torch.tensor(column.log_fraction, dtype=torch.float64) for column in self.columns]
        width = [torch.tensor(column.log_width, dtype=torch.float64) for column in self.columns]
        tables = {
            "bin_offset": torch.tensor([*accumulate(n_cells[:-1], initial=0)]),
            "level": torch.cat([k + first for k, first in zip(level, first_level, strict=True)]),
            "log_density": torch.cat(share) - torch.cat(width),
            "score": torch.cat([column.scores() for column in self.columns]),
        }
        for j, column in enumerate(self.columns):
            tables[f"log_marginal_{j}"] = column.log_marginal()
            tables[f"basis_{j}"] = column.basis()
            drawn = share[j].exp() * torch.tensor(column.observed)
            per_level = torch.zeros(column.n_levels, dtype=drawn.dtype)
            per_level = per_level.index_add_(0, torch.tensor(column.level), drawn)
            tables[f"sampling_fraction_{j}"] = (
                drawn / per_level.clamp_min(1e-300)[list(column.level)]
            )
        return tables

    def encoder_width(self, n_features: int) -> int:
        return sum(column.n_levels for column in self.columns) + n_features

    def decoder_width(self, n_features: int) -> int:
        return sum(column.n_coefficients for column in self.columns)

    def placeholder(self, marginals: Marginals) -> Tensor:
        return torch.full_like(marginals.mean, -1.0)

    def encoder_input(self, x: Tensor, constants: Parameters) -> Tensor:
        """Return each level's indicator and each column's normal score, side by side."""
        level, is_known = self.levels(x, constants)
        n_levels = sum(column.n_levels for column in self.columns)
        indicators = x.new_zeros(len(x), n_levels).scatter_(-1, level, is_known)
        scores = constants["score"].to(x.dtype)[level] * is_known
        return torch.cat([indicators, scores], -1)

    def initial_params(self, marginals: Marginals) -> Parameters:
        return {"coefficients": marginals.mean.new_zeros(self.decoder_width(len(marginals.mean)))}

    def log_prob(self, x: Tensor, params: Parameters) -> Tensor:
        level, _ = self.levels(x, params)
        per_column = self.split(params["coefficients"])
        log_p = torch.cat([self.log_p(j, c, params) for j, c in enumerate(per_column)], -1)
        log_density = params["log_density"].to(log_p.dtype)[self._cell(x, params)]
        shape = torch.broadcast_shapes(log_p.shape[:-1], level.shape[:-1])
        per_level = log_p.expand(*shape, -1).gather(-1, level.expand(*shape, -1))
        return per_level + log_density

    def mean(self, params: Parameters) -> Tensor:
        """Return the middle cells: see `representative_bin`."""
        per_column = self.split(params["coefficients"])
        return torch.stack(
            [self.representative_bin(j, c, params) for j, c in enumerate(per_column)], -1
        )

    def sample(self, params: Parameters, generator: Generator) -> Tensor:
        per_column = self.split(params["coefficients"])
        draws = [
            self.draw(self.sampling_weights(j, c, params), generator)
            for j, c in enumerate(per_column)
        ]
        return torch.stack(draws, -1)

    # ---- One column's levels and cells -----------------------------------------------

    def split(self, coefficients: Tensor, dim: int = -1) -> tuple[Tensor, ...]:
        """Return each column's own."""
        return coefficients.split([column.n_coefficients for column in self.columns], dim)

    def levels(self, x: Tensor, constants: Parameters) -> tuple[Tensor, Tensor]:
        """Return levels' numbers among those of all columns, and which are known: 1 or 0."""
        return constants["level"][self._cell(x, constants)], (x >= 0).to(x.dtype)

    def log_p(self, j: int, coefficients: Tensor, constants: Parameters) -> Tensor:
        """Return the log-probability of each level of column j, (..., n_levels)."""
        basis = constants[f"basis_{j}"].to(coefficients.dtype)
        log_marginal = constants[f"log_marginal_{j}"].to(coefficients.dtype)
        return torch.log_softmax(log_marginal + coefficients @ basis, -1)

    def representative_bin(self, j: int, coefficients: Tensor, constants: Parameters) -> Tensor:
        """Return the cell in the middle of column j, (...).

        That of the median if column j is in order, unless the value is more probably missing;
        else that of the most probable level.
        """
        column = self.columns[j]
        p = self.log_p(j, coefficients, constants).exp()
        level = p.argmax(-1)
        if column.n_ordered:
            ordered = p[..., : column.n_ordered]
            total = ordered.sum(-1)
            below = ordered.cumsum(-1) < 0.5 * total.unsqueeze(-1)
            median = below.sum(-1).clamp_max(column.n_ordered - 1)
            level = torch.where(total >= 0.5, median, level)
        return torch.tensor(column.representative_bin, device=p.device)[level].to(p.dtype)

    def sampling_weights(self, j: int, coefficients: Tensor, constants: Parameters) -> Tensor:
        """Return the probability to draw each cell of column j, (..., n_cells), up to a factor."""
        p = self.log_p(j, coefficients, constants).exp()
        of_cell = torch.tensor(self.columns[j].level, device=p.device)
        return p[..., of_cell] * constants[f"sampling_fraction_{j}"].to(p.dtype)

    @staticmethod
    def draw(p: Tensor, generator: Generator) -> Tensor:
        """Draw cells, (...), from their probabilities up to a factor, (..., n_cells)."""
        # Where nothing is possible, anything is as good: callers know of it.
        p = torch.where(p.sum(-1, keepdim=True) > 0, p, 1.0)
        flat = p.reshape(-1, p.shape[-1])
        return torch.multinomial(flat, 1, generator=generator).view(p.shape[:-1]).to(p.dtype)

    @staticmethod
    def _cell(x: Tensor, constants: Parameters) -> Tensor:
        """Return cells' numbers among those of all columns; for those not known, the first."""
        return x.long().clamp_min(0) + constants["bin_offset"]
