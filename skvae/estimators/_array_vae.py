"""Base class of the estimators of complete numeric arrays."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..likelihoods import Likelihood, resolve_likelihood
from ..utils import isolate, local_random_state
from ._base import BaseVAE
from ._inference import check_n_samples
from ._readers import ArrayReader, FrameReader
from ._validation import validate_array


class ArrayVAE(BaseVAE):
    """A `BaseVAE` of dense or sparse arrays without missing entries.

    The likelihood is a parameter, and `sample` draws new rows.
    """

    architecture: Any
    likelihood: str | Likelihood

    @isolate
    def sample(
        self,
        n_samples: int = 1,
        *,
        conditions: Any = None,
        noise: bool = True,
        random_state: Any = None,
    ) -> np.ndarray:
        """Draw new rows from the model.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        conditions : mapping or data frame, default=None
            Value of each condition column, by name or position: a value for all rows, or
            `n_samples` values. Required if the model has condition columns.
        noise : bool, default=True
            Whether to draw x from p(x | z), or to return the mean of p(x | z), as is usual for
            generated images.
        random_state : int, RandomState instance or None, default=None
            Controls the draws. Pass an int for reproducible results.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            New rows in the units of X, in the floating dtype of the training data, without
            condition columns.
        """
        check_is_fitted(self)
        n_samples = check_n_samples(n_samples)
        expanded = self._expand_conditions(conditions, n_samples)
        rng = local_random_state(random_state)
        return self._sample_rows(n_samples, rng, expanded, noise=noise)

    @property
    def _auto_noise(self) -> Literal["row", "feature"]:
        """Scope of the noise of an automatic likelihood.

        Custom and convolutional decoders usually return a single number for each column.
        """
        return "row" if self.architecture == "mlp" else "feature"

    def _resolve_likelihood(self) -> Likelihood:
        return resolve_likelihood(self.likelihood)

    def _validate(self, X: Any, *, reset: bool) -> Any:
        encode = partial(self._encode_conditions, reset=reset)
        return validate_array(self, X, reset=reset, encode=encode, accept_sparse=True)

    def _make_reader(self, X_valid: Any) -> ArrayReader | FrameReader:
        return self._reader.fit(X_valid)
