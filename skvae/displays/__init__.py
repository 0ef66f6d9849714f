"""Plots of fitted estimators, in the style of scikit-learn's displays.

Create a display with a class method such as `from_estimator`, which computes the data and draws
the plot. To redraw, call `plot`, optionally on your own axes. No display calls ``plt.show``. The
plots require matplotlib (extra ``plot``). May import estimators, metrics, models and
utils.
"""

from ._contributions import ContributionsDisplay
from ._embeddings import EmbeddingsDisplay
from ._latent_space import LatentSpaceDisplay
from ._loss_curve import LossCurveDisplay
from ._manifold import ManifoldDisplay
from ._reconstruction import ReconstructionDisplay
from ._sample import SampleDisplay
from ._synthetic_table import SyntheticTableDisplay

__all__ = [
    "ContributionsDisplay",
    "EmbeddingsDisplay",
    "LatentSpaceDisplay",
    "LossCurveDisplay",
    "ManifoldDisplay",
    "ReconstructionDisplay",
    "SampleDisplay",
    "SyntheticTableDisplay",
]
