"""`VAEImputer`: what is missing in a row, from what was observed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import TransformerMixin
from sklearn.impute import MissingIndicator
from sklearn.utils import check_scalar, gen_batches
from sklearn.utils._param_validation import Interval, MissingValues, StrOptions
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data
from torch import Tensor

from ..likelihoods import LIKELIHOODS, Histogram, Likelihood
from ..models import VAE, importance_weighted_draws
from ..training import TrainingConfig, chunk_length
from ..utils import draw_seed, local_random_state, seeded_generator
from ._base import BaseVAE
from ._imputation import MixedImputation, NumericImputation, columns_package, incomplete_rows
from ._validation import validate_rows


class VAEImputer(TransformerMixin, BaseVAE):
    """Imputation of missing values by a variational autoencoder.

    The model learns from the entries that were observed, and from no others: training maximises
    the importance-weighted bound on their log-density (MIWAE). A missing entry is filled with
    its conditional mean given what was observed in its row. Observed entries stay as they are.

    It rests on values that are missing at random: whether an entry is missing may depend on what
    was observed in its row, but not on the entry itself.

    Parameters
    ----------
    latent_dim : int, default=10
        Dimension of z.
    missing_values : float, int, None or pandas.NA, default=np.nan
        What stands for a missing entry. NaN, None and pandas.NA all mean each other. With another
        number, NaN in X is an error.
    add_indicator : bool, default=False
        Whether `transform` appends a `sklearn.impute.MissingIndicator`'s columns: one for each
        feature that had missing entries in `fit`, 1 where they are missing.
    keep_empty_features : bool, default=False
        Whether features without any observed entry in `fit` are filled with 0. Otherwise
        `transform` leaves them out. In no case does the model learn of them.
    n_training_draws : int, default=20
        Draws from the posterior for each row and step of training.
    n_importance_samples : int, default=200
        Draws from the posterior for each row in `transform`, `sample`, `score` and
        `score_samples`.
    hidden_layer_sizes : array-like of int or "auto", default=(128, 128)
        As for `VAETransformer`.
    activation : str, default="tanh"
        As for `VAETransformer`.
    learning_rate_init : float or "auto", default=0.002
        As for `VAETransformer`.
    max_iter : int, default=200
        Number of epochs.
    likelihood : str or Likelihood, default="gaussian"
        As for `VAETransformer`, or "mixed": for data frames with columns of any type, which are
        read as by `TabularVAE` and keep their dtypes. Numbers are filled with their conditional
        means, rounded as the column's values are, and categories with the most probable one.
    architecture, image_shape, solver, learning_rate, batch_size, early_stopping, \
validation_fraction, n_iter_no_change, tol, warm_start, checkpoint, on_interrupt, verbose, \
random_state, device, precision
        As for `VAETransformer`.

    Attributes
    ----------
    indicator_ : sklearn.impute.MissingIndicator
        If `add_indicator`.
    n_features_in_, feature_names_in_, n_iter_, history_, loss_curve_, device_, module_
        As for `VAETransformer`. Losses are those of observed entries.

    See Also
    --------
    sklearn.impute.IterativeImputer : Predicts each feature from the others in turn.
    sklearn.impute.KNNImputer : Means of neighbouring rows.

    References
    ----------
    Mattei and Frellsen, "MIWAE: deep generative modelling and imputation of incomplete data
    sets", ICML 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_wine
    >>> from skvae import VAEImputer
    >>> X = load_wine().data
    >>> hidden = np.random.RandomState(0).uniform(size=X.shape) < 0.2
    >>> imputer = VAEImputer(max_iter=20, random_state=0)
    >>> X_filled = imputer.fit_transform(np.where(hidden, np.nan, X))
    >>> bool(np.isfinite(X_filled).all()), np.array_equal(X_filled[~hidden], X[~hidden])
    (True, True)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseVAE._parameter_constraints,
        "missing_values": [MissingValues(numeric_only=True), None],
        "add_indicator": ["boolean"],
        "keep_empty_features": ["boolean"],
        "likelihood": [StrOptions({"mixed", *LIKELIHOODS}), Likelihood],
        "n_training_draws": [Interval(Integral, 1, None, closed="left")],
    }
    _takes_missing: ClassVar[bool] = True

    indicator_: MissingIndicator
    _filling: Any  # NumericImputation or MixedImputation
    _is_observed: np.ndarray  # (n_features_in_,): whether the feature had any entry in `fit`

    def __init__(
        self,
        latent_dim: int = 10,
        *,
        missing_values: Any = np.nan,
        add_indicator: bool = False,
        keep_empty_features: bool = False,
        n_training_draws: int = 20,
        n_importance_samples: int = 200,
        hidden_layer_sizes: Any = (128, 128),
        activation: str = "tanh",
        architecture: Any = "mlp",
        image_shape: Any = None,
        likelihood: str | Likelihood = "gaussian",
        solver: str = "adam",
        learning_rate: str = "cosine",
        learning_rate_init: Any = 0.002,
        batch_size: Any = "auto",
        max_iter: int = 200,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        warm_start: bool = False,
        checkpoint: Any = None,
        on_interrupt: str = "keep",
        verbose: int = 0,
        random_state: Any = None,
        device: str | torch.device = "auto",
        precision: str = "auto",
    ) -> None:
        super().__init__(
            latent_dim,
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            architecture=architecture,
            image_shape=image_shape,
            likelihood=likelihood,
            solver=solver,
            learning_rate=learning_rate,
            learning_rate_init=learning_rate_init,
            batch_size=batch_size,
            max_iter=max_iter,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            n_importance_samples=n_importance_samples,
            warm_start=warm_start,
            checkpoint=checkpoint,
            on_interrupt=on_interrupt,
            verbose=verbose,
            random_state=random_state,
            device=device,
            precision=precision,
        )
        self.missing_values = missing_values
        self.add_indicator = add_indicator
        self.keep_empty_features = keep_empty_features
        self.n_training_draws = n_training_draws

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the model to what was observed in X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data with missing entries, in any feature and pattern.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If X or a parameter is invalid, if nothing was observed, or if training diverges.
        """
        super().fit(X)
        return self._fit_indicator(X)

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Train for one more epoch, on what was observed in X alone.

        Features without any observed entry in the first call are empty for good.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data with missing entries.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If X or a parameter is invalid, if nothing was observed, or if training diverges.
        """
        is_main = not hasattr(self, "module_")
        super().partial_fit(X)
        return self._fit_indicator(X) if is_main else self

    def transform(self, X: Any) -> Any:
        """Fill missing entries with their conditional means.

        The mean of p(x_missing | x_observed), by self-normalised importance sampling from the
        posterior: Mattei and Frellsen (2019), equation 11. The draws are the same for every row,
        so what is filled in depends on the row alone. Rows without any observed entry get the
        model's mean.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data with missing entries, also in features that had none in `fit`.

        Returns
        -------
        X_filled : ndarray of shape (n_samples, n_features_out), or frame if X is mixed
            Observed entries are those of X, bit for bit.
        """
        check_is_fitted(self)

        def estimate(module: VAE, x: Tensor, eps: Tensor) -> Tensor:
            z, weights = importance_weighted_draws(module, x, eps.unsqueeze(1))
            return self._filling.estimate(module, z, weights)

        rows = self._validate(X, reset=False)
        shape = (rows.shape[1],)
        estimates = self._of_incomplete(rows, self._with_draws(estimate), shape)
        return self._finished(X, self._filling.with_estimates(X, rows, estimates))

    def sample(  # type: ignore[override]
        self, X: Any, n_imputations: int = 1, *, random_state: Any = None
    ) -> Any:
        """Fill missing entries with draws from their conditional distribution, several times.

        For multiple imputation: analyse each filled table, and pool the results by Rubin's rules
        (Rubin, "Multiple imputation for nonresponse in surveys", 1987). Draws are by sampling
        importance resampling: Mattei and Frellsen (2019), section 4.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data with missing entries.
        n_imputations : int, default=1
            How many times.
        random_state : int, RandomState instance or None, default=None
            Determines the draws.

        Returns
        -------
        X_filled : ndarray of shape (n_imputations, n_samples, n_features_out), or list of frames
            Observed entries are those of X, bit for bit. Mixed tables make a list.
        """
        check_is_fitted(self)
        check_scalar(n_imputations, "n_imputations", Integral, min_val=1)
        rng = local_random_state(random_state)
        generator = seeded_generator(draw_seed(rng), self.module_.bias.device)

        def draws(module: VAE, x: Tensor) -> Tensor:
            shape = (self.n_importance_samples, len(x), module.latent_dim)
            eps = torch.randn(shape, generator=generator, dtype=x.dtype, device=x.device)
            z, weights = importance_weighted_draws(module, x, eps)
            chosen = torch.multinomial(weights.T, n_imputations, True, generator=generator)
            chosen = chosen.unsqueeze(-1).expand(-1, -1, module.latent_dim)
            return module.sample(z.transpose(0, 1).gather(1, chosen), generator)

        rows = self._validate(X, reset=False)
        drawn = self._of_incomplete(rows, draws, (n_imputations, rows.shape[1]))
        tables = [
            self._finished(X, self._filling.with_draws(X, rows, drawn[:, i], rng))
            for i in range(n_imputations)
        ]
        return np.stack(tables) if isinstance(tables[0], np.ndarray) else tables

    def _of_incomplete(
        self, rows: np.ndarray, function: Callable[[VAE, Tensor], Tensor], shape: tuple[int, ...]
    ) -> np.ndarray:
        """Return `function` of the rows with missing entries, one array of `shape` for each."""
        index = incomplete_rows(rows)
        if not len(index):
            return np.empty((0, *shape))
        n_draws = self.n_importance_samples + math.prod(shape[:-1])
        return self._answer(rows, function, n_draws=n_draws, index=index)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns that `transform` returns.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the features; None takes those seen in `fit`, or x0, x1, ...

        Returns
        -------
        names : ndarray of str objects
            With `add_indicator`, ``missingindicator_`` and the feature's name for each column of
            the indicator.
        """
        check_is_fitted(self)
        names = _check_feature_names_in(self, input_features)
        filled = names if self.keep_empty_features else names[self._is_observed]
        if not self.add_indicator:
            return filled
        return np.concatenate([filled, self.indicator_.get_feature_names_out(names)])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.categorical = self.likelihood == "mixed"
        return tags

    def _recipe(self, module: VAE, n_rows: int) -> TrainingConfig:
        return replace(super()._recipe(module, n_rows), n_draws=self.n_training_draws)

    def _validate(self, X: Any, *, reset: bool) -> np.ndarray:
        """Return X with NaN for what is missing, without features that are empty."""
        X = super()._validate(X, reset=reset)
        if reset:
            self._is_observed = np.zeros(X.shape[1], dtype=bool)
            for rows in gen_batches(len(X), chunk_length(X.shape[1])):
                self._is_observed |= ~np.isnan(X[rows]).all(axis=0)
            if not self._is_observed.any():
                raise ValueError("X has missing entries only: there is nothing to learn from.")
        return X if self._is_observed.all() else X[:, self._is_observed]

    def _as_array(self, X: Any, *, reset: bool) -> np.ndarray:
        if self.likelihood == "mixed":
            return self._as_cells(X, reset=reset)
        if reset:
            self._filling = NumericImputation()
        mark = self.missing_values
        is_nan = not isinstance(mark, Real) or math.isnan(mark)
        rows = validate_rows(self, X, reset=reset, allow_nan=is_nan)
        if rows.dtype == bool:  # which scikit-learn's indicator does not take
            rows = rows.astype(np.float64)
        return rows if is_nan else np.where(rows == mark, np.nan, rows)

    def _as_cells(self, X: Any, *, reset: bool) -> np.ndarray:
        """Return the numbers of cells of a frame, NaN where entries are missing."""
        if not hasattr(X, "iloc"):
            raise TypeError(
                f"likelihood='mixed' is for data frames of pandas; got {type(X).__name__}."
            )
        if isinstance(self.missing_values, Real) and not math.isnan(self.missing_values):
            raise ValueError(
                "With likelihood='mixed', missing entries are NaN, None or pandas.NA; got "
                f"missing_values={self.missing_values!r}."
            )
        columns = columns_package()
        frame = columns.as_frame(X, self)
        validate_data(self, X, reset=reset, skip_check_array=True)
        if reset:
            seen = frame.loc[:, frame.notna().any()]
            codec = columns.FrameCodec(seen, {}, missing_is_level=False)
            self._filling = MixedImputation(codec)
        cells = np.full(frame.shape, np.nan)
        codec = self._filling.codec
        cells[:, frame.columns.isin(codec.names)] = codec.encode(frame[codec.names])
        return cells

    def _likelihood(self) -> Likelihood:
        if self.likelihood != "mixed":
            return super()._likelihood()
        filling = getattr(self, "_filling", None)
        return filling.codec.likelihood if filling else Histogram(())

    def _fit_indicator(self, X: Any) -> Self:
        if self.add_indicator:
            rows = self._as_array(X, reset=False)
            self.indicator_ = MissingIndicator(error_on_new=False).fit(rows)
        return self

    def _finished(self, X: Any, filled: Any) -> Any:
        """Add features that are empty, and the indicator's, as parameters say."""
        if not isinstance(filled, np.ndarray):
            return self._finished_frame(X, filled)
        if self.keep_empty_features and not self._is_observed.all():
            narrow, filled = filled, np.zeros((len(filled), self.n_features_in_), filled.dtype)
            filled[:, self._is_observed] = narrow
        if self.add_indicator:
            is_missing = self.indicator_.transform(self._as_array(X, reset=False))
            filled = np.hstack([filled, is_missing.astype(filled.dtype)])
        return filled

    def _finished_frame(self, X: Any, filled: Any) -> Any:
        if self.keep_empty_features:
            narrow, filled = filled, X.copy()
            for name, column in narrow.items():
                filled[name] = column
        if self.add_indicator:
            is_missing = self.indicator_.transform(self._as_array(X, reset=False)).astype(int)
            names = self.indicator_.get_feature_names_out(_check_feature_names_in(self))
            for name, column in zip(names, is_missing.T, strict=True):
                filled[name] = column
        return filled
