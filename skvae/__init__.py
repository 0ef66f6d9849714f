"""Variational autoencoders as scikit-learn estimators."""

from .estimators import TabularVAE, VAEImputer, VAEOutlierDetector, VAETransformer, load
from .likelihoods import (
    Bernoulli,
    ContinuousBernoulli,
    Gaussian,
    Likelihood,
    NegativeBinomial,
    Poisson,
    StudentT,
)
from .training import Checkpoint
from .utils import __version__

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
    "__version__",
    "load",
]
