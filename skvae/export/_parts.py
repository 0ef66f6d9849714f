"""Parts of a fitted estimator as torch modules, from numbers that users have to those they get."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from numbers import Real
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..estimators import BaseVAE, VAEImputer, VAEOutlierDetector
from ..likelihoods import Parameters
from ..models import VAE, importance_weighted_bound


class Part(nn.Module, ABC):
    """What one method of an estimator computes, with as many rows in as out.

    Parameters
    ----------
    estimator : BaseVAE
        Fitted. It stays as it is.
    module : VAE
        Its module, or a copy in another precision, which is that of the answers.
    """

    input_name: ClassVar[str]
    n_inputs: int

    def __init__(self, estimator: BaseVAE, module: VAE) -> None:
        super().__init__()
        self.module = module

    @abstractmethod
    def answers(self, rows: Tensor) -> Parameters:
        """Return tensors by name for rows, (n, n_inputs)."""

    def forward(self, rows: Tensor) -> tuple[Tensor, ...]:
        return tuple(answer.to(self.module.dtype) for answer in self.answers(rows).values())


class _OfRows(Part):
    """A part that reads rows of X, those of an imputer with what it takes for missing."""

    input_name = "X"

    def __init__(self, estimator: BaseVAE, module: VAE) -> None:
        super().__init__(estimator, module)
        self.n_inputs = estimator.n_features_in_
        self.mark: float | None = None
        self.columns: Tensor | None = None
        if isinstance(estimator, VAEImputer):
            mark, seen = estimator.missing_values, estimator._reader.observed
            if isinstance(mark, Real) and not math.isnan(mark):
                self.mark = float(mark)
            if not seen.all():
                self.columns = torch.from_numpy(seen.nonzero()[0])

    def standardized(self, X: Tensor) -> Tensor:
        if self.mark is not None:
            X = X.masked_fill(X.eq(self.mark), math.nan)
        if self.columns is not None:
            X = X.index_select(1, self.columns)
        return self.module.standardize(X)


class Encoder(_OfRows):
    """`encode`."""

    def answers(self, rows: Tensor) -> Parameters:
        posterior = self.module.encode(self.standardized(rows))
        unit = self.module.prior_std
        return {"mean": unit * posterior.mean, "std": unit * posterior.std}


class Decoder(Part):
    """`inverse_transform`, and what else the likelihood says of each row."""

    input_name = "Z"

    def __init__(self, estimator: BaseVAE, module: VAE) -> None:
        super().__init__(estimator, module)
        self.n_inputs = module.latent_dim

    def answers(self, rows: Tensor) -> Parameters:
        module, likelihood = self.module, self.module.likelihood
        params = module.decode(rows / module.prior_std)
        X_mean = module.unstandardize(likelihood.mean(params))
        return {"X_mean": X_mean, **likelihood.public_parameters(params, module.scale)}


class Score(_OfRows):
    """`score_samples`, and for detectors `decision_function`."""

    def __init__(self, estimator: BaseVAE, module: VAE) -> None:
        super().__init__(estimator, module)
        self.bound = estimator._with_draws(importance_weighted_bound)
        is_detector = isinstance(estimator, VAEOutlierDetector)
        self.offset = estimator.offset_ if is_detector else None

    def answers(self, rows: Tensor) -> Parameters:
        score = self.bound(self.module, self.standardized(rows))
        return {"score": score} | ({} if self.offset is None else {"decision": score - self.offset})


PARTS: dict[str, type[Part]] = {"encoder": Encoder, "decoder": Decoder, "score": Score}
