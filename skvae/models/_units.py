"""The units of the rows that networks and likelihoods see."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ..likelihoods import Marginals
from ._dependent_columns import LinearDependence

# Standardised values are clamped to this magnitude: squares of larger values, and the outputs of
# networks for them, could overflow single precision.
_MAX_Z = 1e10


class Units(nn.Module):
    """Conversion between the units of X and the units of a likelihood.

    In columns that are linear functions of other columns, the standardised value is the deviation
    from the function. The deviation is independent of the code, and no decoder could predict the
    column as exactly as the function does.

    Parameters
    ----------
    n_features : int
    scheme : {"feature", "shared"} or None
        Whether each column has a scale of its own, or all columns have a common scale, or columns
        stay as they are.
    dependent_columns : bool
        Whether some columns are linear functions of others.
    """

    shift: Tensor  # (d,)
    scale: Tensor  # (d,)
    # Coefficients of dependent columns; only if there are any.
    dependence: Tensor  # (d, d)
    is_independent: Tensor  # (d,), 1 or 0

    def __init__(
        self,
        n_features: int,
        scheme: Literal["feature", "shared"] | None,
        dependent_columns: bool,
    ) -> None:
        super().__init__()
        self.scheme = scheme
        self.dependent_columns = dependent_columns
        self.register_buffer("shift", torch.zeros(n_features, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(n_features, dtype=torch.float64))
        if dependent_columns:
            dependence = torch.zeros(n_features, n_features, dtype=torch.float64)
            self.register_buffer("dependence", dependence)
            self.register_buffer("is_independent", torch.ones(n_features, dtype=torch.float32))

    @torch.no_grad()
    def initialize(
        self, n_samples: int, mean: Tensor, var: Tensor, dependence: LinearDependence | None
    ) -> Marginals:
        """Set units from means and variances of columns, and return the columns' marginals."""
        if dependence is not None:
            self.dependence.copy_(dependence.coefficients)
            self.is_independent.copy_(~dependence.is_dependent)
            var = torch.where(dependence.is_dependent, dependence.unexplained, var)
        if self.scheme is not None:
            common = var.mean() if self.scheme == "shared" else var
            self.shift.copy_(mean)
            self.scale.copy_(torch.where(common > 0, common, 1.0).sqrt())
        centre = (mean - self.shift) / self.scale
        return Marginals(n_samples, centre, var / self.scale.square(), self.scale)

    def standardize(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """Convert (n, d) from the units of X, in any dtype.

        Outside training, values are clamped to 10^10 standard deviations.
        """
        if self.scheme is None:
            return x.to(dtype)
        wide = x if x.is_floating_point() else x.to(self.shift.dtype)
        x = wide - self.shift
        if self.dependent_columns:
            x = x - x @ self.dependence.T
        x = (x / self.scale).to(dtype)
        return x if self.training else x.clamp_(-_MAX_Z, _MAX_Z)

    def unstandardize(self, x: Tensor) -> Tensor:
        """Convert (..., d) to the units of X."""
        x = x.to(self.scale.dtype) * self.scale
        if self.dependent_columns:
            x = x + x @ self.dependence.T
        return x + self.shift

    def for_deviations(self, matrix: Tensor) -> Tensor:
        """Return a matrix for x - shift, given a matrix for the deviations in dependent columns.

        Both matrices, (m, d), are for columns in the units of X.
        """
        if not self.dependent_columns:
            return matrix
        return matrix - matrix.to(self.dependence.dtype) @ self.dependence

    def mask_dependent(self, x: Tensor) -> Tensor:
        """Return standardised rows with 0 in columns that other columns determine."""
        return x * self.is_independent if self.dependent_columns else x
