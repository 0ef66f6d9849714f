"""`VAEOutlierDetector`: rows that the model finds improbable."""

from __future__ import annotations

from dataclasses import replace
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import OutlierMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from ..likelihoods import LIKELIHOODS, Likelihood, StudentT
from ..models import VAE, contributions_to_bound
from ..training import TrainingConfig
from ._base import BaseVAE

# What is usual in each column is learned from so many training rows at most.
_MAX_ROWS_TO_EXPLAIN = 10_000


class VAEOutlierDetector(OutlierMixin, BaseVAE):
    """Detection of outliers and novelties by their density under a variational autoencoder.

    The score of a row is the importance-weighted bound on its log-density, in nats: it depends on
    that row alone. Rows below `offset_` are outliers. Training may itself hold outliers: each step
    leaves out the share `trim` of its rows that the model explains worst.

    Parameters
    ----------
    latent_dim : int, default=8
        Dimension of z.
    contamination : "auto" or float, default="auto"
        Fraction of outliers in the training data, in (0, 0.5]: `offset_` is that quantile of their
        scores. "auto" puts it one and a half interquartile ranges below the lower quartile
        (Tukey, "Exploratory data analysis", 1977).
    trim : float, default=0.2
        Fraction of each training step's rows to leave out, in [0, 0.5): the rows of highest loss.
        Set it to 0 if the training data are known to be clean.
    likelihood : str or Likelihood, default="auto"
        As for `VAETransformer`, or "auto": ``StudentT(floor=0.4, df=2)``. Its density is
        smoother than the best fit, and single entries far out neither bend it nor rule a score.
    max_iter : int, default=60
        Number of epochs. Longer training fits single rows, outliers among them.
    hidden_layer_sizes, activation, architecture, image_shape, beta, kl_warmup, prior_std, \
solver, learning_rate, learning_rate_init, batch_size, early_stopping, validation_fraction, \
n_iter_no_change, tol, n_importance_samples, warm_start, checkpoint, on_interrupt, verbose, \
random_state, device, precision
        As for `VAETransformer`.

    Attributes
    ----------
    offset_ : float
        Score at which rows begin to be outliers: ``decision_function(X) = score_samples(X) -
        offset_``. After `partial_fit`, that of its rows alone.
    usual_contributions_ : ndarray of shape (n_features + 1,)
        Median contribution of each feature, and last of the code, to the scores of the training
        rows: see `explain`.
    n_features_in_, feature_names_in_, n_iter_, history_, loss_curve_, device_, module_
        As for `VAETransformer`. Losses in ``history_`` are of all rows, those left out too.

    See Also
    --------
    sklearn.ensemble.IsolationForest : Quicker, and hard to beat where columns alone tell outliers.
    sklearn.neighbors.LocalOutlierFactor : By distances to neighbours.

    References
    ----------
    An and Cho, "Variational autoencoder based anomaly detection using reconstruction
    probability", SNU Data Mining Center, 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae import VAEOutlierDetector
    >>> X = np.random.RandomState(0).normal(size=(300, 3))
    >>> X[:, 2] = X[:, 0] + 0.1 * X[:, 1]
    >>> detector = VAEOutlierDetector(latent_dim=2, random_state=0).fit(X)
    >>> detector.predict([[1, 0, 1], [1, 0, -4]])
    array([ 1, -1])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseVAE._parameter_constraints,
        "contamination": [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right")],
        "likelihood": [StrOptions({"auto", *LIKELIHOODS}), Likelihood],
        "trim": [Interval(Real, 0, 0.5, closed="left")],
    }

    offset_: float
    usual_contributions_: np.ndarray

    def __init__(
        self,
        latent_dim: int = 8,
        *,
        contamination: Any = "auto",
        trim: float = 0.2,
        hidden_layer_sizes: Any = "auto",
        activation: str = "gelu",
        architecture: Any = "mlp",
        image_shape: Any = None,
        likelihood: str | Likelihood = "auto",
        beta: float = 1.0,
        kl_warmup: float = 0.0,
        prior_std: float = 1.0,
        solver: str = "adam",
        learning_rate: str = "cosine",
        learning_rate_init: Any = "auto",
        batch_size: Any = "auto",
        max_iter: int = 60,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        n_importance_samples: int = 16,
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
            beta=beta,
            kl_warmup=kl_warmup,
            prior_std=prior_std,
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
        self.contamination = contamination
        self.trim = trim

    def _after_training(self, X: Any) -> None:
        rows = self._validate(X, reset=False)
        scores = self._scores(rows)
        if self.contamination == "auto":
            lower, upper = np.quantile(scores, [0.25, 0.75])
            self.offset_ = float(lower - 1.5 * (upper - lower))
        else:
            self.offset_ = float(np.quantile(scores, self.contamination))
        n_rows = len(scores)
        some = np.linspace(0, n_rows - 1, min(n_rows, _MAX_ROWS_TO_EXPLAIN)).astype(int)
        self.usual_contributions_ = np.median(self._contributions(rows, some), axis=0)

    def _contributions(self, X: np.ndarray, index: np.ndarray | None = None) -> np.ndarray:
        parts = self._with_draws(contributions_to_bound)
        return self._answer(X, parts, n_draws=self.n_importance_samples, index=index)

    def decision_function(self, X: Any) -> np.ndarray:
        """Return how far each row's score is above `offset_`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data within the support of the likelihood.

        Returns
        -------
        decision : ndarray of shape (n_samples,)
            Nats: negative for outliers.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Tell outliers from other rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data within the support of the likelihood.

        Returns
        -------
        is_inlier : ndarray of shape (n_samples,)
            -1 for outliers, 1 for other rows.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def explain(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Split each row's score into what its features and its code contribute to it.

        A feature's contribution is its log-likelihood given the row's code, averaged over the
        draws from the posterior by their importance weights; what is left of the score is the
        code's: how far it is from codes that are usual. Both are given as departures from
        their medians over the training rows, so that they show what is unusual. Negative ones
        speak for an outlier. They add up to the score: ``features.sum(axis=1) + code +
        usual_contributions_.sum() == score_samples(X)``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data within the support of the likelihood.

        Returns
        -------
        features : ndarray of shape (n_samples, n_features)
            Nats.
        code : ndarray of shape (n_samples,)
            Nats.
        """
        check_is_fitted(self)
        contributions = self._contributions(self._validate(X, reset=False))
        unusual = contributions - self.usual_contributions_.astype(contributions.dtype)
        return unusual[:, :-1], unusual[:, -1]

    def _recipe(self, module: VAE, n_rows: int) -> TrainingConfig:
        return replace(super()._recipe(module, n_rows), trim=self.trim)

    def _likelihood(self) -> Likelihood:
        if self.likelihood == "auto":
            return StudentT(floor=0.4, df=2)
        return super()._likelihood()
