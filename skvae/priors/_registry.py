"""Priors by name."""

from __future__ import annotations

from ._base import Prior
from ._flow import Flow
from ._mixture import Mixture, VampPrior
from ._normal import Normal

PRIORS: dict[str, type[Prior]] = {
    "normal": Normal,
    "mixture": Mixture,
    "vamp": VampPrior,
    "flow": Flow,
}


def resolve_prior(prior: str | Prior) -> Prior:
    """Return the prior with the given name and default options, or the object passed in."""
    return PRIORS[prior]() if isinstance(prior, str) else prior
