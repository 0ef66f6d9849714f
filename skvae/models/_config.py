"""The structure of a module."""

from __future__ import annotations

from dataclasses import dataclass

from ..likelihoods import Likelihood, LocationScale, resolve_likelihood
from ..priors import Prior, resolve_prior
from ._conditions import Condition
from ._networks import Architecture

# The linear model of more columns takes as long as training.
_MAX_FEATURES_OF_LINEAR_MODEL = 512


@dataclass(frozen=True)
class VAEConfig:
    """Everything that determines the structure of a module.

    Modules with equal configurations can exchange weights.
    """

    n_features: int  # columns that are modelled
    latent_dim: int
    hidden_layer_sizes: tuple[int, ...] | str
    activation: str
    likelihood: str | Likelihood
    architecture: str | Architecture = "mlp"
    image_shape: tuple[int, ...] | None = None
    prior: str | Prior = "normal"
    prior_std: float = 1.0
    # Whether NaN in a row stands for an entry that was not observed.
    missing: bool = False
    # Whether each column depends on the columns before it, in addition to the code.
    autoregressive: bool = False
    # Whether some columns are linear functions of others: see `Units`.
    dependent_columns: bool = False
    # Columns of rows that are given, in addition to the `n_features` columns that are modelled.
    conditions: tuple[Condition, ...] = ()

    @property
    def resolved_likelihood(self) -> Likelihood:
        """The likelihood as an object."""
        return resolve_likelihood(self.likelihood)

    @property
    def resolved_prior(self) -> Prior:
        """The prior as an object."""
        return resolve_prior(self.prior)

    @property
    def modelled(self) -> list[int]:
        """Positions of the modelled columns in rows of X."""
        given = {condition.position for condition in self.conditions}
        return [j for j in range(self.n_features + len(given)) if j not in given]

    @property
    def has_linear_path(self) -> bool:
        """Whether networks have linear paths, so that training can start at a linear model."""
        return (
            self.architecture == "mlp"
            and isinstance(self.resolved_likelihood, LocationScale)
            and self.n_features <= _MAX_FEATURES_OF_LINEAR_MODEL
            and not self.missing
        )
