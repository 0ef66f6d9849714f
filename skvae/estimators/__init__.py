"""The scikit-learn face: estimators that validate input, own fitted state and answer requests.

The four public classes share `BaseVAE`, which turns X into rows, parameters into a training
configuration, and a trained module into fitted attributes. May import the packages below: training,
models, columns, likelihoods, serialization and utils.
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
