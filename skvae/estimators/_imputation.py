"""Strategies of imputation: estimates of missing entries, for arrays and for data frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..likelihoods import Histogram
from ..models import VAE
from ._readers import ArrayReader, FrameReader, import_columns


class ImputationStrategy(ABC):
    """Estimates of missing entries from weighted codes, and filling of tables."""

    @abstractmethod
    def estimate(self, module: VAE, x: Tensor, z: Tensor, weights: Tensor) -> Tensor:
        """Return one value for each entry of the modelled columns, (n, d).

        Parameters
        ----------
        module : VAE
        x : Tensor of shape (n, d + n_conditions)
            Standardised rows, with NaN for missing entries.
        z : Tensor of shape (n_draws, n, latent_dim)
            Codes.
        weights : Tensor of shape (n_draws, n)
            Importance weights of the codes, with sum 1 for each row.
        """

    @abstractmethod
    def fill_estimates(self, X: Any, rows: np.ndarray, estimates: np.ndarray) -> Any:
        """Return X with estimates in place of missing entries.

        Parameters
        ----------
        X : ndarray or Table of shape (n_samples, n_features)
        rows : ndarray of shape (n_samples, n_observed)
            X as the reader returned it.
        estimates : ndarray of shape (n_incomplete, n_modelled)
            Values for the rows with missing entries.
        """

    @abstractmethod
    def fill_draws(
        self, X: Any, rows: np.ndarray, draws: np.ndarray, rng: np.random.RandomState
    ) -> Any:
        """Return X with draws of the module in place of missing entries."""

    @abstractmethod
    def add_empty_features(self, X: Any, filled: Any) -> Any:
        """Return a filled table with the features without any observed entry in `fit`."""

    @abstractmethod
    def add_indicator(self, filled: Any, is_missing: np.ndarray, names: np.ndarray) -> Any:
        """Return a filled table with indicator columns of the given names."""

    @abstractmethod
    def write(self, filled: Any, *, with_empty_features: bool, library: str | None) -> Any:
        """Return a filled table as an object of the class of X in `fit`, or of a library."""


class NumericImputation(ImputationStrategy):
    """Conditional means, for arrays of numbers.

    Parameters
    ----------
    reader : ArrayReader
    """

    def __init__(self, reader: ArrayReader) -> None:
        self.reader = reader

    def estimate(self, module: VAE, x: Tensor, z: Tensor, weights: Tensor) -> Tensor:
        values = module.complete(x, z)
        return torch.einsum("kn,knd->nd", weights.to(values.dtype), values)

    def fill_estimates(self, X: Any, rows: np.ndarray, estimates: np.ndarray) -> np.ndarray:
        return self.reader.fill(X, rows, estimates)

    def fill_draws(
        self, X: Any, rows: np.ndarray, draws: np.ndarray, rng: np.random.RandomState
    ) -> np.ndarray:
        return self.reader.fill(X, rows, draws)

    def add_empty_features(self, X: Any, filled: np.ndarray) -> np.ndarray:
        observed = self.reader.observed
        if observed.all():
            return filled
        table = np.nan_to_num(X, nan=0.0).astype(filled.dtype)
        table[:, observed] = filled
        return table

    def add_indicator(
        self, filled: np.ndarray, is_missing: np.ndarray, names: np.ndarray
    ) -> np.ndarray:
        return np.hstack([filled, is_missing.astype(filled.dtype)])

    def write(
        self, filled: np.ndarray, *, with_empty_features: bool, library: str | None
    ) -> np.ndarray:
        return filled


class MixedImputation(ImputationStrategy):
    """Conditional means of numbers and most probable categories, for data frames.

    Parameters
    ----------
    reader : FrameReader
    """

    def __init__(self, reader: FrameReader) -> None:
        self.reader = reader

    def estimate(self, module: VAE, x: Tensor, z: Tensor, weights: Tensor) -> Tensor:
        likelihood = module.likelihood
        assert isinstance(likelihood, Histogram)
        _, c = module.split(x)
        params = module.decode(z, c)
        estimates = []
        for j, coefficients in enumerate(likelihood.split(params["coefficients"])):
            log_p = likelihood.log_p(j, coefficients, params)  # (n_draws, n, n_levels)
            p = torch.einsum("kn,knl->nl", weights.to(log_p.dtype), log_p.exp())
            means = self.reader.codec.codecs[j].level_means()
            if means is None:
                estimates.append(likelihood.most_probable_bin(j, p, params))
            else:
                estimates.append(p @ torch.from_numpy(means).to(p))
        return torch.stack(estimates, -1)

    def fill_estimates(self, X: Any, rows: np.ndarray, estimates: np.ndarray) -> Any:
        return self.reader.fill(X, rows, self.reader.codec.from_estimates(estimates))

    def fill_draws(
        self, X: Any, rows: np.ndarray, draws: np.ndarray, rng: np.random.RandomState
    ) -> Any:
        positions = rng.uniform(size=draws.shape)
        return self.reader.fill(X, rows, self.reader.codec.decode(draws, positions))

    def add_empty_features(self, X: Any, filled: Any) -> Any:
        table = self.reader.reorder(X.frame).copy(deep=False)
        filled_columns = iter(filled.items())
        formats = self.reader.table_format.columns
        observed, dtypes = self.reader.observed, iter(self.reader.empty_dtypes)
        for j, (name, is_observed) in enumerate(zip(self.reader.names, observed, strict=True)):
            if is_observed:
                table.isetitem(j, next(filled_columns)[1])
                continue
            with import_columns().column_in_errors(name):
                values = formats[j].cast(table.iloc[:, j], next(dtypes))
            if formats[j].is_number:
                values = values.astype(object).where(values.notna(), 0)
            table.isetitem(j, values)
        return table

    def add_indicator(self, filled: Any, is_missing: np.ndarray, names: np.ndarray) -> Any:
        # All levels of a name, if names of columns have several levels.
        further = ("",) * (filled.columns.nlevels - 1)
        table = filled.copy(deep=False)
        for name, column in zip(names, is_missing.T.astype(int), strict=True):
            table[(name, *further) if further else name] = column
        return table

    def write(self, filled: Any, *, with_empty_features: bool, library: str | None) -> Any:
        observed = self.reader.observed
        selected = np.ones_like(observed) if with_empty_features else observed
        return self.reader.table_format.write(filled, selected, library=library)
