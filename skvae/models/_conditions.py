"""Conditions: columns of X that the model is given rather than models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ..likelihoods import Likelihood
from ..serialization import serializable

ConditionKind = Literal["numeric", "categorical", "exposure"]
# Standardised numbers are clamped to this magnitude, so that outputs of networks do not overflow.
_MAX_C = 1e10


@serializable
@dataclass(frozen=True)
class Condition:
    """A condition column in rows of numbers.

    Parameters
    ----------
    position : int
        Number of the column.
    kind : {"numeric", "categorical", "exposure"}
        Numbers are standardised, categories become indicators, and the log of an exposure is added
        to the log-rate of counts.
    categories : tuple of float, default=()
        Known numbers of a categorical column.
    """

    position: int
    kind: ConditionKind
    categories: tuple[float, ...] = ()


class ConditionEncoder(nn.Module):
    """Splits rows into modelled columns and encoded conditions.

    Encoder and decoder see the covariates: standardised numbers, and indicators of categories. The
    encoder also sees exposures: the logs of exposures divided by the mean exposure. In encoded
    conditions, the covariates come first.

    Parameters
    ----------
    conditions : tuple of Condition
        Condition columns.
    modelled : list of int
        Positions of the modelled columns in rows.
    """

    shift: Tensor  # (m,) for m condition columns; logs for exposures
    scale: Tensor  # (m,)
    columns: Tensor  # (m,), positions in rows
    modelled: Tensor  # (n_features,), positions in rows
    source: Tensor  # (width,), the condition column of each encoded column
    category: Tensor  # (width,), NaN for columns that are not one-hot
    is_exposure: Tensor  # (m,)

    def __init__(self, conditions: tuple[Condition, ...], modelled: list[int]) -> None:
        super().__init__()
        columns = [condition.position for condition in conditions]
        source: list[int] = []
        category: list[float] = []
        # The sort is stable: exposures are last.
        for j, condition in sorted(enumerate(conditions), key=lambda c: c[1].kind == "exposure"):
            known = condition.categories if condition.kind == "categorical" else (float("nan"),)
            source += [j] * len(known)
            category += known
        is_exposure = [condition.kind == "exposure" for condition in conditions]
        self.width = len(source)
        self.n_exposures = sum(is_exposure)
        self.n_covariates = self.width - self.n_exposures
        self.register_buffer("shift", torch.zeros(len(columns), dtype=torch.float64))
        self.register_buffer("scale", torch.ones(len(columns), dtype=torch.float64))
        for name, constant in (
            ("columns", torch.tensor(columns, dtype=torch.int64)),
            ("modelled", torch.tensor(modelled, dtype=torch.int64)),
            ("source", torch.tensor(source, dtype=torch.int64)),
            ("category", torch.tensor(category, dtype=torch.float64)),
            ("is_exposure", torch.tensor(is_exposure, dtype=torch.bool)),
        ):
            self.register_buffer(name, constant, persistent=False)

    @torch.no_grad()
    def initialize(self, mean: Tensor, var: Tensor) -> None:
        """Set units from the means and variances of all columns of rows, (n_features + m,)."""
        mean, var = mean[self.columns], var[self.columns]
        self.shift.copy_(torch.where(self.is_exposure, mean.log(), mean))
        self.scale.copy_(torch.where((var > 0) & ~self.is_exposure, var, 1.0).sqrt())

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the modelled columns and the condition columns of rows of X."""
        return x.index_select(-1, self.modelled), x.index_select(-1, self.columns)

    def covariates(self, c: Tensor) -> Tensor:
        """Return what the decoder sees of encoded conditions."""
        return c[..., : self.n_covariates]

    def log_exposure(self, c: Tensor) -> Tensor:
        """Return the log of the product of exposures in encoded conditions, (..., 1)."""
        return c[..., self.n_covariates :].sum(-1, keepdim=True)

    def forward(self, values: Tensor) -> Tensor:
        """Encode the values of condition columns, (n, m), as (n, width)."""
        wide = values.to(self.shift.dtype)
        units = torch.where(self.is_exposure, wide.log(), wide)
        numbers = ((units - self.shift) / self.scale).clamp(-_MAX_C, _MAX_C)
        # Numbers in single precision are compared in single precision.
        category = self.category.to(values.dtype if values.is_floating_point() else wide.dtype)
        source = values.to(category.dtype).index_select(-1, self.source)
        one_hot = (source == category).to(numbers.dtype)
        return torch.where(category.isnan(), numbers.index_select(-1, self.source), one_hot)


def build_conditions(
    conditions: tuple[Condition, ...], modelled: list[int], likelihood: Likelihood
) -> ConditionEncoder | None:
    """Return an encoder of conditions, if there are any.

    Raises
    ------
    ValueError
        If there is an exposure, but the likelihood has no rate.
    """
    if not conditions:
        return None
    encoder = ConditionEncoder(conditions, modelled)
    if encoder.n_exposures and likelihood.exposure_parameter is None:
        raise ValueError(
            f"An exposure multiplies the rate of counts, which {likelihood} does not have. Use "
            "likelihood='poisson' or 'negative_binomial', or another kind of condition column."
        )
    return encoder
