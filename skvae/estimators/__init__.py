"""Estimators with the interface of scikit-learn: validation, fitting, fitted state and inference.

The base class of the four public classes, `BaseVAE`, converts X to rows, parameters to
configurations, and a trained module to fitted attributes. May import training, models, columns,
likelihoods, serialization and utils.
"""

from ._base import BaseVAE
from ._imputer import VAEImputer
from ._inference import as_dtype
from ._outlier_detector import VAEOutlierDetector
from ._persistence import load
from ._tabular import TabularVAE
from ._transformer import VAETransformer

__all__ = [
    "BaseVAE",
    "TabularVAE",
    "VAEImputer",
    "VAEOutlierDetector",
    "VAETransformer",
    "as_dtype",
    "load",
]
