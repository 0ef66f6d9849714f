"""What a likelihood is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, NamedTuple

from torch import Generator, Tensor
from torch.distributions import constraints

Parameters = dict[str, Tensor]
ParameterScope = Literal["row", "feature", "shared", "fixed"]


class Marginals(NamedTuple):
    """What is known of each column before training, in the likelihood's own units."""

    n_samples: int
    mean: Tensor  # (d,)
    var: Tensor  # (d,)
    scale: Tensor  # (d,), the size of one such unit in units of X


class Likelihood(ABC):
    """Conditional distribution of one row given its code, independent over columns.

    Subclasses are frozen dataclasses. Tensor arguments carry rows first and columns
    last; `params` maps each name in `parameters` to a tensor that broadcasts against
    ``(..., n, d)``, or, of "row" ones, as wide as `decoder_width` says. Everything is in the
    likelihood's own units: the module converts.

    Attributes
    ----------
    support : torch.distributions.constraints.Constraint
        Values the likelihood can explain.
    remedy : str
        What to do about a value outside `support`, for the error message.
    """

    support: ClassVar[constraints.Constraint]
    remedy: ClassVar[str]

    @property
    @abstractmethod
    def parameters(self) -> dict[str, ParameterScope]:
        """Name of each parameter, and what it varies with.

        "row" parameters come out of the decoder, "feature" and "shared" ones are learned
        apart from it, one per column or one in all, and "fixed" ones are given.
        """

    @property
    def standardize(self) -> Literal["feature", "shared"] | None:
        """Whether to standardise columns before use: each, by one common scale, or not."""
        return None

    def constants(self) -> Parameters:
        """Return tensors that never change: the module keeps them and adds them to `params`."""
        return {}

    def encoder_width(self, n_features: int) -> int:
        """Return how many numbers `encoder_input` makes of a row."""
        return n_features

    def decoder_width(self, n_features: int) -> int:
        """Return how many numbers each "row" parameter is for a row."""
        return n_features

    def encoder_input(self, x: Tensor, constants: Parameters) -> Tensor:
        """Return what the encoder sees of `x`, at a size that suits a network."""
        return x

    def placeholder(self, marginals: Marginals) -> Tensor:
        """Return what `encoder_input` gets for missing entries of each column, (d,)."""
        return marginals.mean

    @abstractmethod
    def initial_params(self, marginals: Marginals) -> Parameters:
        """Return the parameters, (d,) or scalars, that describe the columns before training."""

    @abstractmethod
    def log_prob(self, x: Tensor, params: Parameters) -> Tensor:
        """Return log p(x | z) per row and column in nats, all constants included."""

    @abstractmethod
    def mean(self, params: Parameters) -> Tensor:
        """Return E[x | z] per row and column."""

    def public_parameters(self, params: Parameters, scale: Tensor) -> Parameters:
        """Return the parameters as `skvae.export` gives them: within bounds, in the units of X.

        `scale`, (d,), is the size of one of the likelihood's own units in units of X. The
        default is `params` as they are.
        """
        return {name: params[name] for name in self.parameters}

    @abstractmethod
    def sample(self, params: Parameters, generator: Generator) -> Tensor:
        """Draw x from p(x | z), one value per row and column."""


def check_choice(owner: str, name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{owner}({name}=...) must be one of {list(choices)}; got {value!r}.")
