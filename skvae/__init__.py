"""Variational autoencoders as scikit-learn estimators."""

from ._checkpoint import Checkpoint
from ._imputer import VAEImputer
from ._likelihoods import (
    Bernoulli,
    ContinuousBernoulli,
    Gaussian,
    Likelihood,
    NegativeBinomial,
    Poisson,
    StudentT,
)
from ._outlier_detector import VAEOutlierDetector
from ._saving import load
from ._tabular import TabularVAE
from ._transformer import VAETransformer

__version__ = "0.1.0"

__all__ = [
    "Bernoulli",
    "Checkpoint",
    "ContinuousBernoulli",
    "Gaussian",
    "Likelihood",
    "NegativeBinomial",
    "Poisson",
    "StudentT",
    "TabularVAE",
    "VAEImputer",
    "VAEOutlierDetector",
    "VAETransformer",
    "load",
]
