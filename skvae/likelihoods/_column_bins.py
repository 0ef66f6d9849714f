"""Division of the values of a column into levels and bins."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..serialization import serializable

# Logits of fewer ordered levels are not smoothed: the networks learn the order from data.
_MIN_SMOOTHED_LEVELS = 4
# Columns with more bins are sampled in two steps, so the cost does not grow with the bins: first a
# level for each row, and then a bin of the level.
_MAX_DIRECT_BINS = 1000
# Jeffreys' prior: a pseudocount per level, which keeps logits of levels without rows finite.
_LEVEL_PSEUDOCOUNT = 0.5


@serializable
@dataclass(frozen=True)
class ColumnBins:
    """Division of the values of one column into levels, and of each level into bins.

    The decoder predicts the probability of each level. The distribution of a value within a level
    does not depend on the code.

    Parameters
    ----------
    level : tuple of int, of length n_bins
        Level of each bin, from 0.
    log_fraction : tuple of float, of length n_bins
        Log-probability log p(bin | level) of each bin.
    log_width : tuple of float, of length n_bins
        Log of the width of each bin, in the units of X. 0 for a bin with a single value, because
        the probability of a single value is a mass.
    observed : tuple of bool, of length n_bins
        Whether each bin contains training values. Only observed bins are sampled.
    counts : tuple of float, of length n_levels
        Number of training rows in each level.
    representative_bin : tuple of int, of length n_levels
        Bin that represents each level in reconstructions.
    n_ordered : int
        Number of ordered levels. Ordered levels precede unordered levels.
    """

    level: tuple[int, ...]
    log_fraction: tuple[float, ...]
    log_width: tuple[float, ...]
    observed: tuple[bool, ...]
    counts: tuple[float, ...]
    representative_bin: tuple[int, ...]
    n_ordered: int

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return len(self.level)

    @property
    def n_levels(self) -> int:
        """Number of levels."""
        return len(self.counts)

    def is_known(self) -> Tensor:
        """Return whether a value in each bin says anything about the code, (n_bins,).

        Training rows with other values of the level stand for a value without training rows. If
        the levels have no order, as those of categories, the value resembles no other value.
        """
        observed, level = torch.tensor(self.observed), torch.tensor(self.level)
        n_observed = torch.bincount(level[observed], minlength=self.n_levels)
        return observed | (n_observed[level] == 0) | (self.n_ordered > 0)

    def log_weight(self) -> Tensor:
        """Return the log of the weight of each bin, (n_bins,).

        The probability of a bin is the weight times the probability of the level. Bins that are not
        known have a probability that does not depend on the code: the weight alone.
        """
        level, is_known = torch.tensor(self.level), self.is_known()
        fraction = torch.tensor(self.log_fraction, dtype=torch.float64).exp()
        marginal = self.log_marginal().exp()[level] * fraction
        known = torch.where(is_known, fraction, 0.0)
        per_level = known.new_zeros(self.n_levels).index_add_(0, level, known)
        p_known = 1 - marginal[~is_known].sum()
        return torch.where(is_known, p_known * known / per_level[level], marginal).log()

    @property
    def n_coefficients(self) -> int:
        """Number of basis functions: see `basis`."""
        return self.n_levels + (self.n_ordered >= _MIN_SMOOTHED_LEVELS)

    def groups(self) -> Tensor:
        """Return the sampling group of each bin, (n_bins,).

        The first step of sampling draws a group, and the second step a bin of the group. Each bin
        is a group, unless the column has very many bins. Then the neighbouring bins of a level are
        a group.
        """
        if self.n_bins <= _MAX_DIRECT_BINS:
            return torch.arange(self.n_bins)
        level = torch.tensor(self.level)
        return torch.cat([level.new_zeros(1), (level.diff() != 0).cumsum(0)])

    def log_marginal(self) -> Tensor:
        """Return the log of the smoothed fraction of training rows in each level, (n_levels,)."""
        counts = torch.tensor(self.counts, dtype=torch.float64)
        return torch.log_softmax((counts + _LEVEL_PSEUDOCOUNT).log(), 0)

    def ranks(self) -> Tensor:
        """Return the mid-rank of each ordered level in (0, 1), (n_ordered,).

        The mid-rank, or ridit (Bross, "How to use ridit analysis", Biometrics 14, 1958), is the
        fraction of rows in lower levels, plus half the fraction of rows in the level.
        """
        counts = torch.tensor(self.counts[: self.n_ordered], dtype=torch.float64)
        counts = counts + _LEVEL_PSEUDOCOUNT
        return (counts.cumsum(0) - 0.5 * counts) / counts.sum()

    def scores(self) -> Tensor:
        """Return the normal score of each level, (n_levels,).

        The normal score is the quantile of the standard normal distribution at the mid-rank. The
        score of an unordered level is 0.
        """
        scores = torch.zeros(self.n_levels, dtype=torch.float64)
        scores[: self.n_ordered] = torch.special.ndtri(self.ranks())
        return scores

    def basis(self) -> Tensor:
        """Return the basis functions of the logits, (n_coefficients, n_levels).

        The logits of the levels are a linear combination of basis functions, added to the
        log-marginals (Barron and Sheu, "Approximation of density functions by sequences of
        exponential families", Annals of Statistics 19, 1991).

        With normal score s and mid-rank r, the basis functions of ordered levels are

        - s and (s^2 - 1) / sqrt(2), which shift and scale a normal distribution;
        - sqrt(2) cos(pi k r) / k^2 for k = 1, ..., n_ordered - 1. The factor 1 / k^2 slows down
          the learning of high frequencies, because much data are needed to distinguish rough
          structure from noise.

        Unordered levels, and fewer than four ordered levels, have indicators as basis functions.
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
