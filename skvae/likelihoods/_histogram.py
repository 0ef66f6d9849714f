"""Likelihood of columns of any type, with the values of each column divided into bins."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar

import torch
from torch import Generator, Tensor
from torch.distributions import constraints

from ..serialization import serializable
from ._base import Likelihood, Marginals, Parameters, ParameterScope

# Logits of fewer ordered levels are not smoothed: the networks learn the order from data.
_MIN_SMOOTHED_LEVELS = 4
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

    @property
    def n_coefficients(self) -> int:
        """Number of basis functions: see `basis`."""
        return self.n_levels + (self.n_ordered >= _MIN_SMOOTHED_LEVELS)

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


@serializable
@dataclass(frozen=True)
class Histogram(Likelihood):
    """Histograms, one per column, with heights that depend on the code.

    Values are bin numbers, from 0. Negative values stand for missing entries. The decoder
    predicts "coefficients", a concatenation over columns: see `ColumnBins.basis`.

    Parameters
    ----------
    columns : tuple of ColumnBins, of length d
        Bins of each column.
    """

    columns: tuple[ColumnBins, ...]

    support: ClassVar[constraints.Constraint] = constraints.real
    remedy: ClassVar[str] = "Bins are numbered from 0."

    @property
    def parameters(self) -> dict[str, ParameterScope]:
        return {"coefficients": "row"}

    def constants(self) -> Parameters:
        """Return tables of the bins and levels of all columns.

        Returns
        -------
        constants : dict of str to Tensor
            Tables of all columns, concatenated:

            - "bin_offset", (d,): number of bins in preceding columns.
            - "level", (n_bins_total,): level of each bin, numbered through all columns.
            - "log_density", (n_bins_total,): log-density of a value in each bin, given the level.
            - "score", (n_levels_total,): normal score of each level.

            Tables of each column j:

            - "log_marginal_j", (n_levels,): see `ColumnBins.log_marginal`.
            - "basis_j", (n_coefficients, n_levels): see `ColumnBins.basis`.
            - "sampling_fraction_j", (n_bins,): p(bin | level) among observed bins, 0 elsewhere.
        """
        level = [torch.tensor(column.level) for column in self.columns]
        level_offset = _offsets([column.n_levels for column in self.columns])
        log_fraction = [_float64(column.log_fraction) for column in self.columns]
        log_width = [_float64(column.log_width) for column in self.columns]
        constants = {
            "bin_offset": torch.tensor(_offsets([column.n_bins for column in self.columns])),
            "level": torch.cat([k + offset for k, offset in zip(level, level_offset, strict=True)]),
            "log_density": torch.cat(log_fraction) - torch.cat(log_width),
            "score": torch.cat([column.scores() for column in self.columns]),
        }
        for j, column in enumerate(self.columns):
            constants[f"log_marginal_{j}"] = column.log_marginal()
            constants[f"basis_{j}"] = column.basis()
            fraction = log_fraction[j].exp() * torch.tensor(column.observed)
            per_level = torch.zeros(column.n_levels, dtype=fraction.dtype)
            per_level = per_level.index_add_(0, level[j], fraction)
            constants[f"sampling_fraction_{j}"] = fraction / per_level.clamp_min(1e-300)[level[j]]
        return constants

    def encoder_width(self, n_features: int) -> int:
        return sum(column.n_levels for column in self.columns) + n_features

    def decoder_width(self, n_features: int) -> int:
        return sum(column.n_coefficients for column in self.columns)

    def placeholder(self, marginals: Marginals) -> Tensor:
        return torch.full_like(marginals.mean, -1.0)

    def encoder_input(self, x: Tensor, constants: Parameters) -> Tensor:
        """Return indicators of the levels, followed by the normal score of each column.

        All inputs of a missing entry are 0.

        Parameters
        ----------
        x : Tensor of shape (n, d)
            Bin numbers, negative for missing entries.
        constants : dict of str to Tensor
            Tensors of `constants`.

        Returns
        -------
        inputs : Tensor of shape (n, n_levels_total + d)
        """
        level, is_observed = self.levels(x, constants)
        n_levels = sum(column.n_levels for column in self.columns)
        indicators = x.new_zeros(len(x), n_levels).scatter_(-1, level, is_observed)
        scores = constants["score"].to(x.dtype)[level] * is_observed
        return torch.cat([indicators, scores], -1)

    def initial_params(self, marginals: Marginals) -> Parameters:
        # All coefficients 0: the probabilities of the levels are the marginals.
        return {"coefficients": marginals.mean.new_zeros(self.decoder_width(len(marginals.mean)))}

    def log_prob(self, x: Tensor, params: Parameters) -> Tensor:
        level, _ = self.levels(x, params)
        per_column = self.split(params["coefficients"])
        log_p = torch.cat([self.log_p(j, c, params) for j, c in enumerate(per_column)], -1)
        log_density = params["log_density"].to(log_p.dtype)[self._bin_index(x, params)]
        shape = torch.broadcast_shapes(log_p.shape[:-1], level.shape[:-1])
        log_p_level = log_p.expand(*shape, -1).gather(-1, level.expand(*shape, -1))  # (..., n, d)
        return log_p_level + log_density

    def mean(self, params: Parameters) -> Tensor:
        """Return the representative bin of each row and column, in place of a mean.

        Parameters
        ----------
        params : dict of str to Tensor
            Parameters, with coefficients of shape (..., n, decoder_width).

        Returns
        -------
        bins : Tensor of shape (..., n, d)
            Bin numbers: see `representative_bin`.
        """
        per_column = self.split(params["coefficients"])
        return torch.stack(
            [self.representative_bin(j, c, params) for j, c in enumerate(per_column)], -1
        )

    def sample(self, params: Parameters, generator: Generator) -> Tensor:
        per_column = self.split(params["coefficients"])
        samples = [
            self.draw(self.sampling_weights(j, c, params), generator)
            for j, c in enumerate(per_column)
        ]
        return torch.stack(samples, -1)

    # ---- Single columns --------------------------------------------------------------

    def split(self, coefficients: Tensor, dim: int = -1) -> tuple[Tensor, ...]:
        """Split coefficients of all columns into the coefficients of each column."""
        return coefficients.split([column.n_coefficients for column in self.columns], dim)

    def levels(self, x: Tensor, constants: Parameters) -> tuple[Tensor, Tensor]:
        """Return the level of each value, numbered through all columns, and a mask.

        Parameters
        ----------
        x : Tensor of shape (n, d)
            Bin numbers, negative for missing entries.
        constants : dict of str to Tensor
            Tensors of `constants`.

        Returns
        -------
        level : Tensor of shape (n, d)
            Level of each value. Arbitrary for missing entries.
        is_observed : Tensor of shape (n, d)
            1 for observed entries and 0 for missing entries, in the dtype of `x`.
        """
        return constants["level"][self._bin_index(x, constants)], (x >= 0).to(x.dtype)

    def log_p(self, j: int, coefficients: Tensor, constants: Parameters) -> Tensor:
        """Return the log-probability of each level of column j.

        Parameters
        ----------
        j : int
            Column number.
        coefficients : Tensor of shape (..., n_coefficients)
            Coefficients of column j.
        constants : dict of str to Tensor
            Tensors of `constants`.

        Returns
        -------
        log_p : Tensor of shape (..., n_levels)
            Log-probabilities in nats.
        """
        basis = constants[f"basis_{j}"].to(coefficients.dtype)
        log_marginal = constants[f"log_marginal_{j}"].to(coefficients.dtype)
        return torch.log_softmax(log_marginal + coefficients @ basis, -1)

    def representative_bin(self, j: int, coefficients: Tensor, constants: Parameters) -> Tensor:
        """Return the most representative bin of column j.

        For an ordered column, the representative bin of the median level, unless unordered levels
        (missing values) have a probability above one half. Otherwise, the representative bin of
        the most probable level.

        Parameters
        ----------
        j : int
            Column number.
        coefficients : Tensor of shape (..., n_coefficients)
            Coefficients of column j.
        constants : dict of str to Tensor
            Tensors of `constants`.

        Returns
        -------
        bins : Tensor of shape (...)
            Bin numbers, in the dtype of the coefficients.
        """
        column = self.columns[j]
        p = self.log_p(j, coefficients, constants).exp()
        level = p.argmax(-1)
        if column.n_ordered:
            ordered = p[..., : column.n_ordered]
            total = ordered.sum(-1)
            below_median = ordered.cumsum(-1) < 0.5 * total.unsqueeze(-1)
            median = below_median.sum(-1).clamp_max(column.n_ordered - 1)
            level = torch.where(total >= 0.5, median, level)
        return torch.tensor(column.representative_bin, device=p.device)[level].to(p.dtype)

    def sampling_weights(self, j: int, coefficients: Tensor, constants: Parameters) -> Tensor:
        """Return the unnormalised sampling probability of each bin of column j.

        Parameters
        ----------
        j : int
            Column number.
        coefficients : Tensor of shape (..., n_coefficients)
            Coefficients of column j.
        constants : dict of str to Tensor
            Tensors of `constants`.

        Returns
        -------
        weights : Tensor of shape (..., n_bins)
            Weights, 0 for bins without training values.
        """
        p = self.log_p(j, coefficients, constants).exp()
        level = torch.tensor(self.columns[j].level, device=p.device)
        return p[..., level] * constants[f"sampling_fraction_{j}"].to(p.dtype)

    @staticmethod
    def draw(weights: Tensor, generator: Generator) -> Tensor:
        """Sample bins in proportion to weights.

        Parameters
        ----------
        weights : Tensor of shape (..., n_bins)
            Unnormalised probabilities. If all weights of a row are 0, the sample is uniform.
        generator : torch.Generator
            Source of randomness, on the device of the weights.

        Returns
        -------
        bins : Tensor of shape (...)
            Bin numbers, in the dtype of the weights.
        """
        # torch.multinomial rejects rows of zeros, which conditions and underflow can produce.
        weights = torch.where(weights.sum(-1, keepdim=True) > 0, weights, 1.0)
        flat = weights.reshape(-1, weights.shape[-1])
        bins = torch.multinomial(flat, 1, generator=generator)
        return bins.view(weights.shape[:-1]).to(weights.dtype)

    @staticmethod
    def _bin_index(x: Tensor, constants: Parameters) -> Tensor:
        """Return bins numbered through all columns. Missing entries count as the first bin."""
        return x.long().clamp_min(0) + constants["bin_offset"]


def _float64(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _offsets(sizes: list[int]) -> list[int]:
    """Return the sum of the preceding sizes, for each size."""
    return list(accumulate(sizes[:-1], initial=0))
