"""Likelihood of columns of any type: a histogram of the bins of each column."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar

import torch
from torch import Generator, Tensor
from torch.distributions import constraints

from ..serialization import serializable
from ._base import Likelihood, Marginals, Parameters, ParameterScope
from ._column_bins import ColumnBins


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
            - "is_known", (n_bins_total,): see `ColumnBins.is_known`.
            - "log_density", (n_bins_total,): log-density of a value in each bin, given the level
              if the bin is known.
            - "score", (n_levels_total,): normal score of each level.

            Tables of each column j:

            - "log_marginal_j", (n_levels,): see `ColumnBins.log_marginal`.
            - "basis_j", (n_coefficients, n_levels): see `ColumnBins.basis`.
            - "sampling_fraction_j", (n_bins,): p(bin | level) among observed bins, 0 elsewhere.
            - "representative_bin_j", (n_levels,): see `ColumnBins`.
            - "representative_fraction_j", (n_levels,): p(bin | level) of the representative bin.
            - "group_j", (n_bins,): see `ColumnBins.groups`.
            - "group_level_j", (n_groups,): level of each group.
        """
        level = [torch.tensor(column.level) for column in self.columns]
        level_offset = _offsets([column.n_levels for column in self.columns])
        log_fraction = [_float64(column.log_fraction) for column in self.columns]
        log_width = [_float64(column.log_width) for column in self.columns]
        constants = {
            "bin_offset": torch.tensor(_offsets([column.n_bins for column in self.columns])),
            "level": torch.cat([k + offset for k, offset in zip(level, level_offset, strict=True)]),
            "is_known": torch.cat([column.is_known() for column in self.columns]),
            "log_density": torch.cat([c.log_weight() for c in self.columns]) - torch.cat(log_width),
            "score": torch.cat([column.scores() for column in self.columns]),
        }
        for j, column in enumerate(self.columns):
            constants[f"log_marginal_{j}"] = column.log_marginal()
            constants[f"basis_{j}"] = column.basis()
            fraction = log_fraction[j].exp() * torch.tensor(column.observed)
            per_level = torch.zeros(column.n_levels, dtype=fraction.dtype)
            per_level = per_level.index_add_(0, level[j], fraction)
            fraction = fraction / per_level.clamp_min(1e-300)[level[j]]
            constants[f"sampling_fraction_{j}"] = fraction
            constants[f"representative_bin_{j}"] = torch.tensor(column.representative_bin)
            constants[f"representative_fraction_{j}"] = fraction[list(column.representative_bin)]
            group = constants[f"group_{j}"] = column.groups()
            group_level = level[j].new_zeros(int(group[-1]) + 1)
            constants[f"group_level_{j}"] = group_level.index_copy(0, group, level[j])
        return constants

    def encoder_width(self, n_features: int) -> int:
        return sum(column.n_levels for column in self.columns) + n_features

    def decoder_width(self, n_features: int) -> int:
        return sum(column.n_coefficients for column in self.columns)

    def placeholder(self, marginals: Marginals) -> Tensor:
        return torch.full_like(marginals.mean, -1.0)

    def encoder_input(self, x: Tensor, constants: Parameters) -> Tensor:
        """Return indicators of the levels, followed by the normal score of each column.

        All inputs of a missing entry and of an unseen category are 0.

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
        level, is_known = self.levels(x, constants)
        n_levels = sum(column.n_levels for column in self.columns)
        indicators = x.new_zeros(len(x), n_levels).scatter_(-1, level, is_known)
        scores = constants["score"].to(x.dtype)[level] * is_known
        return torch.cat([indicators, scores], -1)

    def initial_params(self, marginals: Marginals) -> Parameters:
        # All coefficients 0: the probabilities of the levels are the marginals.
        return {"coefficients": marginals.mean.new_zeros(self.decoder_width(len(marginals.mean)))}

    def log_prob(self, x: Tensor, params: Parameters) -> Tensor:
        level, is_known = self.levels(x, params)
        per_column = self.split(params["coefficients"])
        log_p = torch.cat([self.log_p(j, c, params) for j, c in enumerate(per_column)], -1)
        log_density = params["log_density"].to(log_p.dtype)[self._bin_index(x, params)]
        # `torch.broadcast_shapes` would import SymPy, which takes longer than most fits.
        shape = torch.broadcast_tensors(log_p[..., 0], level[..., 0])[0].shape
        log_p_level = log_p.expand(*shape, -1).gather(-1, level.expand(*shape, -1))  # (..., n, d)
        return log_p_level * is_known + log_density

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
        samples = [self.sample_column(j, c, params, generator)[0] for j, c in enumerate(per_column)]
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
        is_known : Tensor of shape (n, d)
            0 for missing entries and unseen categories, and 1 elsewhere, in the dtype of `x`.
        """
        bin_index = self._bin_index(x, constants)
        is_known = (x >= 0) & constants["is_known"][bin_index]
        return constants["level"][bin_index], is_known.to(x.dtype)

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
        (missing values) have a probability above one half. Otherwise, the most probable of the
        representative bins.

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
        if column.n_ordered:
            ordered = p[..., : column.n_ordered]
            total = ordered.sum(-1)
            below_median = ordered.cumsum(-1) < 0.5 * total.unsqueeze(-1)
            median = below_median.sum(-1).clamp_max(column.n_ordered - 1)
            median = constants[f"representative_bin_{j}"][median].to(p.dtype)
            return torch.where(total >= 0.5, median, self.most_probable_bin(j, p, constants))
        return self.most_probable_bin(j, p, constants)

    @staticmethod
    def most_probable_bin(j: int, p: Tensor, constants: Parameters) -> Tensor:
        """Return the representative bin of column j with the highest probability, (...).

        Parameters
        ----------
        j : int
            Column number.
        p : Tensor of shape (..., n_levels)
            Probabilities of the levels.
        constants : dict of str to Tensor
            Tensors of `constants`.
        """
        level = (p * constants[f"representative_fraction_{j}"].to(p.dtype)).argmax(-1)
        return constants[f"representative_bin_{j}"][level].to(p.dtype)

    def sample_column(
        self,
        j: int,
        coefficients: Tensor,
        constants: Parameters,
        generator: Generator,
        allowed: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Sample a bin of column j, and return the log-probability of the allowed bins.

        Parameters
        ----------
        j : int
            Column number.
        coefficients : Tensor of shape (..., n_coefficients)
            Coefficients of column j.
        constants : dict of str to Tensor
            Tensors of `constants`.
        generator : torch.Generator
            Source of randomness, on the device of the coefficients.
        allowed : Tensor of shape (n_bins,), optional
            Allowed fraction of each bin; by default, all bins are allowed.

        Returns
        -------
        bins : Tensor of shape (...)
            Bin numbers, in the dtype of the coefficients.
        log_p : Tensor of shape (...), or None
            Log-probability of the allowed bins. None without `allowed`.
        """
        weight, log_p = constants[f"sampling_fraction_{j}"], None
        p = self.sampling_weights(j, coefficients, constants)
        if allowed is not None:
            p_allowed = p * self._allowed_fraction(j, allowed.to(weight), constants).to(p)
            log_p = (p_allowed.sum(-1) / p.sum(-1)).log()
            weight, p = weight * allowed.to(weight), p_allowed
        drawn, group = self.draw(p, generator), constants[f"group_{j}"]
        if p.shape[-1] < len(group):
            drawn = _draw_within(drawn.long(), group, weight, generator).to(p.dtype)
        return drawn, log_p

    def sampling_weights(self, j: int, coefficients: Tensor, constants: Parameters) -> Tensor:
        """Return the unnormalised sampling probability of each group of bins of column j.

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
        weights : Tensor of shape (..., n_groups)
            Weights, 0 for groups without training values. See `ColumnBins.groups`.
        """
        p = self.log_p(j, coefficients, constants).exp()
        fraction = _sum_groups(constants[f"sampling_fraction_{j}"], constants[f"group_{j}"])
        return p[..., constants[f"group_level_{j}"]] * fraction.to(p.dtype)

    @staticmethod
    def draw(weights: Tensor, generator: Generator) -> Tensor:
        """Sample groups of bins in proportion to weights.

        Parameters
        ----------
        weights : Tensor of shape (..., n_groups)
            Unnormalised probabilities. If all weights of a row are 0, the sample is uniform.
        generator : torch.Generator
            Source of randomness, on the device of the weights.

        Returns
        -------
        groups : Tensor of shape (...)
            Group numbers, in the dtype of the weights.
        """
        # torch.multinomial rejects rows of zeros, which conditions and underflow can produce.
        weights = torch.where(weights.sum(-1, keepdim=True) > 0, weights, 1.0)
        flat = weights.reshape(-1, weights.shape[-1])
        groups = torch.multinomial(flat, 1, generator=generator)
        return groups.view(weights.shape[:-1]).to(weights.dtype)

    @staticmethod
    def _allowed_fraction(j: int, allowed: Tensor, constants: Parameters) -> Tensor:
        """Return the allowed fraction of each group of bins of column j, (n_groups,)."""
        group = constants[f"group_{j}"]
        if group[-1] + 1 == len(group):
            return allowed
        fraction = constants[f"sampling_fraction_{j}"]
        total = _sum_groups(fraction, group).clamp_min(1e-300)
        return _sum_groups(fraction * allowed, group) / total

    @staticmethod
    def _bin_index(x: Tensor, constants: Parameters) -> Tensor:
        """Return bins numbered through all columns. Missing entries count as the first bin."""
        return x.long().clamp_min(0) + constants["bin_offset"]


def _sum_groups(values: Tensor, group: Tensor) -> Tensor:
    """Return the sum over the bins of each group, (n_groups,), of values of bins, (n_bins,)."""
    return values.new_zeros(int(group[-1]) + 1).index_add_(0, group, values)


def _draw_within(drawn: Tensor, group: Tensor, weight: Tensor, generator: Generator) -> Tensor:
    """Sample a bin of each group in `drawn`, by the inverse of the cumulative weights.

    Parameters
    ----------
    drawn : Tensor of shape (...)
        Group numbers.
    group : Tensor of shape (n_bins,)
        Group of each bin, in increasing order.
    weight : Tensor of shape (n_bins,)
        Unnormalised probability of each bin within the group.
    generator : torch.Generator
        Source of randomness.
    """
    stop = torch.bincount(group).cumsum(0)[drawn]  # first bin after the group
    start = torch.searchsorted(group, drawn)
    cumulative = torch.cat([weight.new_zeros(1), weight.cumsum(0)])
    low, high = cumulative[start], cumulative[stop]
    u = torch.rand(drawn.shape, generator=generator, dtype=weight.dtype, device=weight.device)
    # Rounding errors must not reach the next group. A bin of weight 0 is an empty interval.
    target = torch.minimum(low + u * (high - low), torch.nextafter(high, low))
    bins = torch.searchsorted(cumulative, target, right=True) - 1
    return torch.maximum(torch.minimum(bins, stop - 1), start)


def _float64(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _offsets(sizes: list[int]) -> list[int]:
    """Return the sum of the preceding sizes, for each size."""
    return list(accumulate(sizes[:-1], initial=0))
