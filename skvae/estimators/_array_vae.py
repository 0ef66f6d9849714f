"""Base class of the estimators of numeric arrays."""

from __future__ import annotations

from typing import Any

from ..likelihoods import Likelihood, resolve_likelihood
from ._base import BaseVAE
from ._readers import ArrayReader, FrameReader
from ._validation import validate_array


class ArrayVAE(BaseVAE):
    """A `BaseVAE` of dense or sparse arrays, with `likelihood` as a parameter."""

    likelihood: str | Likelihood

    def _resolve_likelihood(self) -> Likelihood:
        return resolve_likelihood(self.likelihood)

    def _validate(self, X: Any, *, reset: bool) -> Any:
        return validate_array(self, X, reset=reset, accept_sparse=True)

    def _make_reader(self, X: Any, X_valid: Any) -> ArrayReader | FrameReader:
        return ArrayReader().fit(X_valid)
