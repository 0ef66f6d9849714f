"""Likelihood of columns of any type, each cut into cells."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain
from typing import ClassVar

import torch
from torch import Generator, Tensor
from torch.distributions import constraints

from ._base import Likelihood, Marginals, Parameters, Share


@dataclass(frozen=True)
class Cells:
    """How one column is cut: into cells, a few of which make a level.

    The decoder says how probable each level is. Where in its level a value lies is the same for
    every code: `share`. So a level may hold many values, and be told from others by data enough.

    Parameters
    ----------
    level : tuple of int
        Of each cell, from 0.
    log_share : tuple of float
        Of each cell, log p(cell | level).
    log_width : tuple of float
        Of each cell, log of its width in units of X; 0 for one that is a single value, whose
        probability is a mass.
    drawable : tuple of bool
        Whether the training data had values in the cell: no other is sampled.
    counts : tuple of float
        Of each level, how many training rows it had.
    middle : tuple of int
        Of each level, the cell that stands for it.
    n_ordered : int
        The first so many levels are in order: their middle is the median, not the most frequent.
    """

    level: tuple[int, ...]
    log_share: tuple[float, ...]
    log_width: tuple[float, ...]
    drawable: tuple[bool, ...]
    counts: tuple[float, ...]
    middle: tuple[int, ...]
    n_ordered: int

    @property
    def n_levels(self) -> int:
        return len(self.counts)


@dataclass(frozen=True)
class Histogram(Likelihood):
    """Histograms, one for each column, whose bars' heights depend on the code.

    Values are numbers of cells, 0 for a column's first one.

    Parameters
    ----------
    columns : tuple of Cells
    """

    columns: tuple[Cells, ...]

    support: ClassVar[constraints.Constraint] = constraints.nonnegative_integer
    remedy: ClassVar[str] = "Cells are numbered from 0."

    @property
    def parameters(self) -> dict[str, Share]:
        return {"logits": "row"}

    @cached_property
    def sizes(self) -> list[int]:
        """Number of levels of each column."""
        return [column.n_levels for column in self.columns]

    def constants(self) -> Parameters:
        """Return tables over the cells, or the levels, of all columns put together."""
        n_cells = [len(column.level) for column in self.columns]
        first_level = accumulate(self.sizes[:-1], initial=0)
        pairs = zip(first_level, self.columns, strict=True)
        level = chain.from_iterable((first + k for k in column.level) for first, column in pairs)
        share, width = (
            torch.tensor([*chain.from_iterable(values)], dtype=torch.float64)
            for values in (
                (column.log_share for column in self.columns),
                (column.log_width for column in self.columns),
            )
        )
        return {
            "first_cell": torch.tensor([*accumulate(n_cells[:-1], initial=0)]),
            "level": torch.tensor([*level]),
            "log_share": share,
            "log_density": share - width,
            "score": torch.cat([_normal_scores(column) for column in self.columns]),
        }

    def encoder_width(self, n_features: int) -> int:
        return sum(self.sizes) + n_features

    def decoder_width(self, n_features: int) -> int:
        return sum(self.sizes)

    def placeholder(self, marginals: Marginals) -> Tensor:
        return torch.full_like(marginals.mean, -1.0)

    def encoder_input(self, x: Tensor, constants: Parameters) -> Tensor:
        """Return each level's indicator, (n, n_levels), and each column's normal score."""
        level, is_known = self.levels(x, constants)
        indicators = x.new_zeros(len(x), sum(self.sizes)).scatter_(-1, level, is_known)
        scores = constants["score"].to(x.dtype)[level] * is_known
        return torch.cat([indicators, scores], -1)

    def levels(self, x: Tensor, constants: Parameters) -> tuple[Tensor, Tensor]:
        """Return levels' numbers among those of all columns, and which are known: 1 or 0."""
        return constants["level"][self._cell(x, constants)], (x >= 0).to(x.dtype)

    def start(self, marginals: Marginals) -> Parameters:
        counts = torch.tensor([*chain.from_iterable(column.counts for column in self.columns)])
        # Half a row more for each level (Jeffreys) keeps those without any finite.
        return {"logits": self._normalised((counts + 0.5).double().log())}

    def log_prob(self, x: Tensor, params: Parameters) -> Tensor:
        cell = self._cell(x, params)
        log_p = self._normalised(params["logits"])
        level = params["level"][cell].expand(*log_p.shape[:-1], -1)
        return log_p.gather(-1, level) + params["log_density"].to(log_p.dtype)[cell]

    def mean(self, params: Parameters) -> Tensor:
        """Return the middle: the median of ordered columns, else the most probable cell."""
        log_p = params["logits"].split(self.sizes, -1)
        return torch.stack([self.middle(j, part) for j, part in enumerate(log_p)], -1)

    def sample(self, params: Parameters, generator: Generator) -> Tensor:
        parts = params["logits"].split(self.sizes, -1)
        draws = [self.draw(j, part, generator) for j, part in enumerate(parts)]
        return torch.stack(draws, -1).to(params["logits"].dtype)

    def middle(self, j: int, logits: Tensor) -> Tensor:
        """Return the middle cell of column j from its levels' logits, (..., n_levels)."""
        column = self.columns[j]
        p = logits.softmax(-1)
        level = p.argmax(-1)
        if column.n_ordered:
            ordered = p[..., : column.n_ordered]
            total = ordered.sum(-1, keepdim=True)
            median = (ordered.cumsum(-1) < 0.5 * total).sum(-1).clamp_max(column.n_ordered - 1)
            level = torch.where(total.squeeze(-1) >= 0.5, median, level)
        return torch.tensor(column.middle, device=p.device)[level].to(p.dtype)

    def draw(
        self, j: int, logits: Tensor, generator: Generator, allowed: Tensor | None = None
    ) -> Tensor:
        """Draw a cell of column j from its levels' logits, (..., n_levels)."""
        p = self.cell_probabilities(j, logits, allowed).clamp_min(1e-30)
        flat = p.reshape(-1, p.shape[-1])
        return torch.multinomial(flat, 1, generator=generator).view(p.shape[:-1])

    def cell_probabilities(self, j: int, logits: Tensor, allowed: Tensor | None = None) -> Tensor:
        """Return p of each drawable cell of column j, (..., n_cells), times `allowed`."""
        column = self.columns[j]
        share = torch.tensor(column.log_share, dtype=logits.dtype).exp()
        share = (share * torch.tensor(column.drawable)).to(logits.device)
        if allowed is not None:
            share = share * allowed
        return logits.softmax(-1)[..., list(column.level)] * share

    def _cell(self, x: Tensor, constants: Parameters) -> Tensor:
        """Return numbers of cells among those of all columns; of missing ones, the first."""
        return x.long().clamp_min(0) + constants["first_cell"]

    def _normalised(self, logits: Tensor) -> Tensor:
        return torch.cat([part.log_softmax(-1) for part in logits.split(self.sizes, -1)], -1)


def _normal_scores(column: Cells) -> Tensor:
    """Return the normal quantile of each ordered level's middle rank, and 0 for other levels."""
    counts = torch.tensor(column.counts, dtype=torch.float64)
    scores = torch.zeros_like(counts)
    ordered = counts[: column.n_ordered] + 0.5
    rank = (ordered.cumsum(0) - 0.5 * ordered) / ordered.sum()
    scores[: column.n_ordered] = torch.special.ndtri(rank)
    return scores
