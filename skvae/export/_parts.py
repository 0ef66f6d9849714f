"""Methods of a fitted estimator as torch modules, with inputs and outputs in the units of X."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from numbers import Real

import torch
from torch import Tensor, nn

from ..estimators import BaseVAE, VAEImputer, VAEOutlierDetector
from ..likelihoods import Parameters
from ..models import VAE, importance_weighted_bound


class Part(nn.Module, ABC):
    """Torch module that computes a method of an estimator row by row.

    Parameters
    ----------
    estimator : BaseVAE
        Fitted estimator, not modified.
    module : VAE
        Module of the estimator, or a copy in another precision. The outputs have the data type of
        the module.

    Attributes
    ----------
    inputs : dict of str to int
        Names of the inputs in the ONNX graph, and their numbers of columns.
    """

    inputs: dict[str, int]

    def __init__(self, estimator: BaseVAE, module: VAE) -> None:
        super().__init__()
        self.module = module

    @abstractmethod
    def outputs(self, *inputs: Tensor) -> Parameters:
        """Return the outputs by name for inputs of shape (n, n_columns)."""

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(output.to(self.module.dtype) for output in self.outputs(*inputs).values())


class _InputSpacePart(Part):
    """Part with rows of X as input, including missing entries for an imputer."""

    def __init__(self, estimator: BaseVAE, module: VAE) -> None:
        super().__init__(estimator, module)
        self.inputs = {"X": estimator.n_features_in_}
        self.missing_value: float | None = None  # None for NaN
        self.columns: Tensor | None = None  # None for all columns
        if isinstance(estimator, VAEImputer):
            missing_value, is_observed = estimator.missing_values, estimator._reader.observed
            if isinstance(missing_value, Real) and not math.isnan(missing_value):
                self.missing_value = float(missing_value)
            if not is_observed.all():
                self.columns = torch.from_numpy(is_observed.nonzero()[0])

    def outputs(self, *inputs: Tensor) -> Parameters:
        (X,) = inputs
        return self.outputs_for(self.standardize(X))

    @abstractmethod
    def outputs_for(self, x: Tensor) -> Parameters:
        """Return the outputs by name for standardised rows."""

    def standardize(self, x: Tensor) -> Tensor:
        """Return standardised rows, with NaN for missing entries."""
        if self.missing_value is not None:
            x = x.masked_fill(x.eq(self.missing_value), math.nan)
        if self.columns is not None:
            x = x.index_select(1, self.columns)
        return self.module.standardize(x)


class Encoder(_InputSpacePart):
    """Method `encode`: mean and standard deviation of the posterior."""

    def outputs_for(self, x: Tensor) -> Parameters:
        posterior = self.module.encode(x)
        prior_std = self.module.prior_std
        return {"mean": prior_std * posterior.mean, "std": prior_std * posterior.std}


class Decoder(Part):
    """Method `inverse_transform`, with the parameters of the likelihood as further outputs."""

    def __init__(self, estimator: BaseVAE, module: VAE) -> None:
        super().__init__(estimator, module)
        self.inputs = {"Z": module.latent_dim}
        if module.config.conditions:
            self.inputs["conditions"] = len(module.config.conditions)

    def outputs(self, *inputs: Tensor) -> Parameters:
        module, likelihood = self.module, self.module.likelihood
        Z, c = inputs[0], None
        if module.conditions is not None:
            c = module.conditions(inputs[1]).to(module.dtype)
        params = module.decode(Z / module.prior_std, c)
        X_mean = module.unstandardize(likelihood.mean(params))
        public = likelihood.public_parameters(params, module.units.scale)
        if "whitening" in public:
            public["whitening"] = module.units.for_deviations(public["whitening"])
        return {"X_mean": X_mean, **public}


class Score(_InputSpacePart):
    """Method `score_samples`, and `decision_function` for outlier detectors."""

    def __init__(self, estimator: BaseVAE, module: VAE) -> None:
        super().__init__(estimator, module)
        self.bound = estimator._with_draws(importance_weighted_bound)
        is_detector = isinstance(estimator, VAEOutlierDetector)
        self.offset = estimator.offset_ if is_detector else None

    def outputs_for(self, x: Tensor) -> Parameters:
        score = self.bound(self.module, x)
        return {"score": score} | ({} if self.offset is None else {"decision": score - self.offset})


PARTS: dict[str, type[Part]] = {"encoder": Encoder, "decoder": Decoder, "score": Score}
