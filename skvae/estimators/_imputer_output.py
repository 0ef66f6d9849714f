"""Output of the imputer: filled features, empty features and indicator columns."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from sklearn.impute import MissingIndicator
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from ..serialization import serializable
from ._imputation import ImputationStrategy, MixedImputation, NumericImputation
from ._readers import FrameReader

# Saved imputers contain the attribute `indicator_`.
serializable(attributes=["n_features_in_"])(MissingIndicator)


class ImputerOutputMixin:
    """Columns of the output of an imputer, as `add_indicator` and `keep_empty_features` specify."""

    add_indicator: bool
    keep_empty_features: bool
    indicator_: MissingIndicator
    _reader: Any  # ArrayReader or FrameReader

    @abstractmethod
    def _validate(self, X: Any, *, reset: bool) -> Any:
        """Return X as an array or table, after checks of its form."""

    def _after_training(self, X: Any, *, reset: bool) -> None:
        if self.add_indicator and reset:
            is_missing = self._reader.mark_missing(self._validate(X, reset=False))
            self.indicator_ = MissingIndicator(error_on_new=False).fit(is_missing)

    @property
    def _strategy(self) -> ImputationStrategy:
        if isinstance(self._reader, FrameReader):
            return MixedImputation(self._reader)
        return NumericImputation(self._reader)

    def _complete(self, X_valid: Any, filled: Any) -> Any:
        """Add empty features and indicator columns, as the parameters specify."""
        if self.keep_empty_features:
            filled = self._strategy.add_empty_features(X_valid, filled)
        if self.add_indicator:
            is_missing = self.indicator_.transform(self._reader.mark_missing(X_valid))
            names = self._indicator_names(_check_feature_names_in(self))
            filled = self._strategy.add_indicator(filled, is_missing, names)
        # scikit-learn itself would turn other frames into frames of objects without names.
        wants_pandas = _get_output_config("transform", self)["dense"] == "pandas"
        return self._strategy.write(
            filled,
            with_empty_features=self.keep_empty_features,
            library="pandas" if wants_pandas else None,
        )

    def _indicator_names(self, names: np.ndarray) -> np.ndarray:
        """Return the names of the indicator columns, different from the names of the features."""
        taken = set(names)
        indicator_names = self.indicator_.get_feature_names_out(names)
        for i, name in enumerate(indicator_names):
            while name in taken:
                name += "_"
            indicator_names[i] = name
            taken.add(name)
        return indicator_names

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns that `transform` returns.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the features. None takes the names seen in `fit`, or x0, x1, ...

        Returns
        -------
        names : ndarray of str objects
            Names of the filled features. With `add_indicator`, also ``missingindicator_`` followed
            by the name of the feature for each column of the indicator. If X has a column of this
            name, an underscore is added.
        """
        check_is_fitted(self)
        names = _check_feature_names_in(self, input_features)
        filled = names if self.keep_empty_features else names[self._reader.observed]
        if not self.add_indicator:
            return filled
        return np.concatenate([filled, self._indicator_names(names)])
