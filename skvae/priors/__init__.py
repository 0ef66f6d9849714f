"""Priors p(z): the distribution of codes before any row is seen.

A prior is an immutable value without weights: the module owns all parameters, and passes `params`
to each method. Priors can therefore be compared, copied by `sklearn.base.clone` and listed in a
parameter grid. To add a prior, write a class and register it in `PRIORS`.

May import serialization and utils.
"""

from __future__ import annotations

from ._base import Encode, Prior
from ._base import Parameters as Parameters
from ._flow import Flow
from ._mixture import Components as Components
from ._mixture import Mixture, VampPrior
from ._normal import Normal
from ._normal import normal_log_prob as normal_log_prob
from ._registry import PRIORS as PRIORS
from ._registry import resolve_prior as resolve_prior

# The public names. Other packages of skvae also import the names with `as`.
__all__ = ["Encode", "Flow", "Mixture", "Normal", "Prior", "VampPrior"]
