"""How a table with missing entries is read, and filled: one of numbers, or one of any columns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..likelihoods import Histogram
from ..models import VAE
from ..utils import optional
from ._inference import result_dtype

if TYPE_CHECKING:
    from ..columns import FrameCodec


class ImputationStrategy(ABC):
    """What to fill in from weighted codes, and how.

    Rows are what a module sees of a table: NaN is missing.
    """

    @abstractmethod
    def estimate(self, module: VAE, z: Tensor, weights: Tensor) -> Tensor:
        """Return single values, (n, d), for codes, (K, n, k), and their weights, (K, n)."""

    @abstractmethod
    def with_estimates(self, X: Any, rows: np.ndarray, estimates: np.ndarray) -> Any:
        """Return X with estimates, one row for each that is incomplete, where entries are missing.

        `rows` are those of X.
        """

    @abstractmethod
    def with_draws(
        self, X: Any, rows: np.ndarray, draws: np.ndarray, rng: np.random.RandomState
    ) -> Any:
        """Return X with what the module drew, likewise."""


class NumericImputation(ImputationStrategy):
    """Arrays of numbers: conditional means."""

    def estimate(self, module: VAE, z: Tensor, weights: Tensor) -> Tensor:
        return torch.einsum("kn,knd->nd", weights.to(module.scale.dtype), module.mean(z))

    def with_estimates(self, X: Any, rows: np.ndarray, estimates: np.ndarray) -> np.ndarray:
        filled = rows.astype(result_dtype(rows))
        index = incomplete_rows(rows)
        if len(index):
            filled[index] = np.where(np.isnan(rows[index]), estimates, filled[index])
        return filled

    def with_draws(
        self, X: Any, rows: np.ndarray, draws: np.ndarray, rng: np.random.RandomState
    ) -> np.ndarray:
        return self.with_estimates(X, rows, draws)


class MixedImputation(ImputationStrategy):
    """Frames with columns of any type: conditional means of numbers, and likeliest categories.

    Parameters
    ----------
    codec : FrameCodec
        Whose cells the rows are.
    """

    def __init__(self, codec: FrameCodec) -> None:
        self.codec = codec

    def estimate(self, module: VAE, z: Tensor, weights: Tensor) -> Tensor:
        likelihood = module.likelihood
        assert isinstance(likelihood, Histogram)
        params = module.decode(z)
        estimates = []
        for j, coefficients in enumerate(likelihood.split(params["coefficients"])):
            log_p = likelihood.log_p(j, coefficients, params)  # (K, n, n_levels)
            p = torch.einsum("kn,knl->nl", weights.to(log_p.dtype), log_p.exp())
            numbers = self.codec.codecs[j].level_means()
            if numbers is None:
                middle = torch.tensor(likelihood.columns[j].representative_bin, device=p.device)
                estimates.append(middle[p.argmax(-1)].to(p.dtype))
            else:
                estimates.append(p @ torch.from_numpy(numbers).to(p))
        return torch.stack(estimates, -1)

    def with_estimates(self, X: Any, rows: np.ndarray, estimates: np.ndarray) -> Any:
        return self._filled(X, rows, self.codec.from_estimates(estimates))

    def with_draws(
        self, X: Any, rows: np.ndarray, draws: np.ndarray, rng: np.random.RandomState
    ) -> Any:
        return self._filled(X, rows, self.codec.decode(draws, rng.uniform(size=draws.shape)))

    def _filled(self, X: Any, rows: np.ndarray, values: Any) -> Any:
        seen = X[self.codec.names]
        return self.codec.fill(seen, np.isnan(rows), values.set_axis(incomplete_rows(rows)))


def incomplete_rows(rows: np.ndarray) -> np.ndarray:
    """Return which rows have missing entries."""
    return np.flatnonzero(np.isnan(rows).any(axis=1))


def columns_package() -> Any:
    """Return the package that reads columns of frames.

    Raises
    ------
    ImportError
        If pandas is missing.
    """
    optional("pandas")
    from .. import columns

    return columns
