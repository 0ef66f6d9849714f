"""Pictures of what an estimator has learned, in the manner of scikit-learn's displays.

Each class computes with `from_estimator`, or takes arrays; `plot` draws, once or more often, on
axes of your own if you pass them. Nothing calls ``plt.show``. They need matplotlib, which
comes with ``pip install "skvae[plot]"``.
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
