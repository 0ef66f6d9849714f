"""`VAEOutlierDetector`: rows with a low density under the model."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import OutlierMixin
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from ..likelihoods import LIKELIHOODS, Likelihood, StudentT
from ..models import contributions_to_bound
from ..priors import Prior
from ..utils import isolate
from ._array_vae import ArrayVAE
from ._numbers import labelled_like
from ._parameters import NETWORK_CONSTRAINTS, OBJECTIVE_CONSTRAINTS, names_in_errors, one_of
from ._persistence import loadable

# Meaning of "auto" for outlier detection.
_OUTLIER_TRIM, _OUTLIER_LIKELIHOOD = 0.2, StudentT(floor=0.4, df=2)
# Largest relative rounding error of a score in float32.
_ROUNDING = 1e-5
# Largest number of training rows from which usual contributions are computed.
_MAX_ROWS_TO_EXPLAIN = 10_000
# Longer training fits single rows.
_MAX_AUTO_ITER = 60


@loadable
class VAEOutlierDetector(OutlierMixin, ArrayVAE):
    """Outlier and novelty detection by the density of rows under a variational autoencoder.

    The score of a row is the importance-weighted lower bound on the row's log-density, in nats. The
    score depends on this row only. Rows with a score below `offset_` are outliers. Training
    tolerates outliers in the training data: each step leaves out the fraction `trim` of its rows,
    the rows that the model explains worst.

    Parameters
    ----------
    latent_dim : int, default=8
        Number of latent dimensions: the dimension of z.
    novelty : bool, default=False
        Whether the training rows are known to be normal (novelty detection), instead of rows with
        outliers among them (outlier detection). The value determines the settings "auto" of `trim`
        and `likelihood`: novelty detection learns fine structure and small groups of rows, and
        outlier detection ignores both. All methods are available in both cases, in contrast to
        `sklearn.neighbors.LocalOutlierFactor`.
    contamination : "auto" or float, default="auto"
        Fraction of outliers in the training data, in (0, 0.5]: `offset_` is this quantile of the
        training scores, less a rounding error. With ``novelty=True``, the fraction of the normal
        training rows to call outliers. "auto" sets `offset_` one and a half interquartile ranges
        below the lower quartile (Tukey, "Exploratory data analysis", 1977).
    trim : float or "auto", default="auto"
        Fraction of the rows of each training step to leave out, in [0, 0.5): the rows of highest
        loss. Of each category of `condition_columns`, half of the rows take part in any case. The
        linear model at the start of training leaves out the same fraction. "auto" is 0.2, or 0 for
        novelty detection.
    hidden_layer_sizes : array-like of int or "auto", default="auto"
        Widths of the encoder's hidden layers. The decoder has the same layers in reverse order.
        ``()`` is a linear model. With ``architecture="conv"``, the numbers of 3x3 filters of stages
        that each halve the image, followed by the width of a dense layer. "auto" is (32, 64, 128)
        for "conv", (128, 128) for a model with a linear path, and (256, 128) for other models.
        Custom architectures ignore this parameter.
    activation : str, default="gelu"
        Activation function of the hidden layers: "gelu", "relu", "silu", "elu", "leaky_relu",
        "softplus", "tanh", "logistic" or "identity".
    architecture : {"mlp", "fourier_mlp", "conv"} or callable, default="mlp"
        Networks of the encoder and the decoder:

        - "mlp": multilayer perceptrons. With a likelihood of real numbers and up to 512 columns,
          each perceptron has a parallel linear path, and training starts at the linear model of
          maximum likelihood: factor analysis or probabilistic PCA.
        - "fourier_mlp": multilayer perceptrons whose decoder also sees sines and cosines of the
          code. Maps in two or three latent dimensions need fewer steps to train.
        - "conv": convolutional networks for images of `image_shape`.
        - callable: custom networks. ``(n_features, latent_dim, n_outputs) -> (encoder, decoder)``
          returns two `torch.nn.Module`. The encoder maps (n, n_features) to (n, 2 * latent_dim),
          means and then log-variances, or to a tuple of means and log-variances. The decoder maps
          (n, latent_dim) to (n, n_outputs), where n_outputs is n_features for each parameter that
          the likelihood takes from the decoder.
    image_shape : tuple of int, default=None
        Shape of the image in a row of X, for "conv": (height, width) or (channels, height, width).
        The channels come first, other than in PIL, matplotlib and Keras.
    likelihood : str or Likelihood, default="auto"
        Distribution of a row given its code:

        - "auto": ``StudentT(floor=0.4, df=2)``. The density is smoother than the best fit, and
          single outlying entries neither bend the model nor dominate a score. For novelty
          detection, ``StudentT("row", floor=0.1)``, or ``StudentT(floor=0.1)`` for architectures
          other than "mlp".
        - "gaussian": real numbers on any scale.
        - "student_t": real numbers with outlying values.
        - "bernoulli", "continuous_bernoulli": values in [0, 1].
        - "poisson", "negative_binomial": counts.

        An object such as ``Gaussian(noise="shared")`` sets options: see `skvae.likelihoods`.
    beta : float, default=1.0
        Weight of the KL term in training.
    kl_warmup : float, default=0.0
        Fraction of training over which the weight of the KL term rises from 0 to `beta`.
    prior : {"normal", "mixture", "vamp", "flow"} or Prior, default="normal"
        Distribution of codes p(z): a standard normal distribution, or a distribution that is
        learned from the training rows. An object such as ``Mixture(n_components=20)`` sets options:
        see `skvae.priors`.
    prior_std : float, default=1.0
        Scale of the codes: the standard deviation of the normal prior. The value has no effect on
        the quality of the model.
    n_training_draws : int, default=1
        Number of draws from the posterior per row and step of training. With one draw, training
        maximises the evidence lower bound. With more draws, training maximises the
        importance-weighted bound, which is closer to log p(x), and the decoder computes as many
        passes.
    encoder_dropout : float, default=0.0
        Fraction of the entries of X that are hidden from the encoder in each step of training. All
        entries are reconstructed. Hidden entries reduce over-fitting of the encoder.
    condition_columns : list, dict or None, default=None
        Columns of X that the model is given rather than models, by name or position: the model is
        p(x | z, c), with the posterior q(z | x, c). In a list, columns of numbers are numeric, and
        columns of strings, categories, booleans and objects are categorical. A dict maps columns to
        a kind: "numeric", "categorical" or, for likelihoods of counts, "exposure", a factor of the
        rate such as the total count of a row.
    solver : {"adam", "adamw", "rmsprop"}, default="adam"
        Optimizer that updates the weights.
    alpha : float or "auto", default="auto"
        Strength of weight decay. Each step multiplies the weight matrices of the decoder by one
        minus `alpha` times the learning rate, except for the weights of the linear path to the
        means. "auto" is ``(300 / n_samples) ** 2 * min(2, n_features / 20)``, and up to three times
        as much for ``Gaussian("shared")`` and ``Gaussian("full")``, for a model with a linear path,
        which few rows hold close to the linear model. For other models, "auto" is 0.
    learning_rate : {"cosine", "constant"}, default="cosine"
        Schedule of the learning rate. "cosine" rises to `learning_rate_init` over the first
        200 steps, within 5% and 20% of all steps, or over 5% after a linear start, and then falls
        to zero along a cosine. "constant" is `learning_rate_init` throughout.
    learning_rate_init : float or "auto", default="auto"
        Highest learning rate. "auto" is 0.013 for training of up to 500 steps after a linear start,
        and 0.006 for up to 2,000 steps otherwise. For longer training, the rate falls with the
        fourth root of the number of steps. From random weights, the rate is at most 0.006 times the
        square root of 256 over the number of units of the widest layer.
    batch_size : int or "auto", default="auto"
        Number of rows per step. "auto" divides the rows into equal batches of at most a 32nd of
        the rows, but 128 to 256 rows, for a model with a linear path, and of at most a fiftieth of
        the rows, but 64 to 200 rows, for other models. For more than 100,000 rows, batches are a
        five-hundredth of the rows, and at most 2,000 rows.
    max_iter : int or "auto", default="auto"
        Largest number of epochs. "auto" depends on the number of rows, as for `VAETransformer`, and
        is at most 60. Longer training fits single rows, including outliers.
    early_stopping : bool, default=False
        Whether to hold out a fraction `validation_fraction` of the rows, to stop when the
        validation loss has not improved by `tol` for `n_iter_no_change` epochs, and to keep the
        weights of the best epoch, or of the start. The validation loss is computed at beta = 1.
        With ``learning_rate="cosine"``, the learning rate falls to zero over another
        `n_iter_no_change` epochs before training ends.
    validation_fraction : float, default=0.1
        Fraction of rows held out for early stopping.
    n_iter_no_change : int or "auto", default="auto"
        Number of epochs to wait for an improvement. "auto" is the number of epochs for a tenth of
        the training steps, or of the steps of ``max_iter="auto"`` if these are fewer, and at
        least for 100 steps.
    tol : float, default=1e-4
        Smallest improvement that counts, in nats per row. Without early stopping, `tol` applies to
        the training objective, and only at a constant learning rate.
    n_importance_samples : int, default=16
        Number of draws from the posterior per row in `score` and `score_samples`. More draws give a
        tighter bound.
    warm_start : bool, default=False
        Whether `fit` continues from the fitted weights, with a new optimizer.
    checkpoint : path-like, Checkpoint or None, default=None
        File to which `fit` writes its progress: after each epoch, or as often as a `Checkpoint`
        specifies. If the file exists, the same `fit` continues from the file.
    on_interrupt : {"keep", "raise"}, default="keep"
        Effect of Ctrl-C during `fit`, once an epoch is complete. "keep" leaves an estimator fitted
        with the weights of the last epoch, or of the best epoch with early stopping, and warns.
        "raise" raises the exception, as searches require.
    verbose : int, default=0
        Whether to show a progress bar with the loss and its two terms.
    random_state : int, RandomState instance or None, default=None
        Controls the initial weights, the shuffling of rows, the draws from the posterior and the
        choice of validation rows. Pass an int for reproducible results: the same int gives the same
        model, bit for bit, on the same machine. Global random states are neither used nor changed.
    device : str or torch.device, default="auto"
        Device of the model: "cpu", "cuda", "cuda:1", "mps", ... "auto" is the first available
        device of CUDA, MPS and CPU.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Precision of matrix products in training. "auto" is bfloat16 if the hardware is faster in
        bfloat16 and the network is large enough.

    Attributes
    ----------
    offset_ : float
        Threshold of the score: ``decision_function(X) = score_samples(X) - offset_``. After
        `partial_fit`, the threshold for the rows of the last call.
    usual_contributions_ : ndarray of shape (n_features + 1,)
        Median contribution of each feature, followed by the median contribution of the code, to the
        scores of the training rows: see `explain`.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, if X had names.
    n_iter_ : int
        Number of epochs of training.
    history_ : dict of lists
        Metrics of each epoch, in nats per row, measured during training: "loss", the negative lower
        bound at beta = 1; its terms "reconstruction_loss" and "kl_loss"; "active_units", the number
        of latent dimensions whose posterior means have more than 0.01 of the variance of the codes.
        With early stopping also "validation_loss", "validation_reconstruction_loss" and
        "validation_kl_loss". Losses include the rows that training leaves out.
    loss_curve_ : list of float
        ``history_["loss"]``.
    device_ : torch.device
        Device of the model.
    module_ : torch.nn.Module
        The trained networks.

    See Also
    --------
    sklearn.ensemble.IsolationForest : Faster, and hard to beat if single columns reveal outliers.
    sklearn.neighbors.LocalOutlierFactor : Compares distances to neighbours.

    References
    ----------
    An and Cho, "Variational autoencoder based anomaly detection using reconstruction probability",
    SNU Data Mining Center, 2015.

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
        **ArrayVAE._parameter_constraints,
        **NETWORK_CONSTRAINTS,
        **OBJECTIVE_CONSTRAINTS,
        "contamination": [one_of("auto"), Interval(Real, 0, 0.5, closed="right")],
        "likelihood": [one_of("auto", *LIKELIHOODS), Likelihood],
        "novelty": ["boolean"],
        "trim": [one_of("auto"), Interval(Real, 0, 0.5, closed="left")],
    }

    offset_: float
    usual_contributions_: np.ndarray

    @names_in_errors
    def __init__(
        self,
        latent_dim: int = 8,
        *,
        novelty: bool = False,
        contamination: Any = "auto",
        trim: Any = "auto",
        hidden_layer_sizes: Any = "auto",
        activation: str = "gelu",
        architecture: Any = "mlp",
        image_shape: Any = None,
        likelihood: str | Likelihood = "auto",
        beta: float = 1.0,
        kl_warmup: float = 0.0,
        prior: str | Prior = "normal",
        prior_std: float = 1.0,
        n_training_draws: int = 1,
        encoder_dropout: float = 0.0,
        condition_columns: Any = None,
        solver: str = "adam",
        alpha: Any = "auto",
        learning_rate: str = "cosine",
        learning_rate_init: Any = "auto",
        batch_size: Any = "auto",
        max_iter: Any = "auto",
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: Any = "auto",
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
            prior=prior,
            condition_columns=condition_columns,
            n_training_draws=n_training_draws,
            encoder_dropout=encoder_dropout,
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            solver=solver,
            alpha=alpha,
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
        self.novelty = novelty
        self.contamination = contamination
        self.trim = trim
        self.architecture = architecture
        self.image_shape = image_shape
        self.likelihood = likelihood
        self.beta = beta
        self.kl_warmup = kl_warmup
        self.prior_std = prior_std

    def _after_training(self, X: Any, *, reset: bool) -> None:
        rows = self._read(X)
        scores = self._score_rows(rows)
        if self.contamination == "auto":
            lower, upper = np.quantile(scores, [0.25, 0.75])
            offset = lower - 1.5 * (upper - lower)
        else:
            offset = np.quantile(scores, self.contamination)
        # Scores of equal rows differ by rounding errors, so a threshold that is one of these scores
        # would divide the rows.
        self.offset_ = float(offset - _ROUNDING * max(1.0, abs(offset)))
        n_rows = len(scores)
        index = np.linspace(0, n_rows - 1, min(n_rows, _MAX_ROWS_TO_EXPLAIN)).astype(int)
        self.usual_contributions_ = np.median(self._contributions(rows, index), axis=0)

    def _contributions(self, rows: Any, index: np.ndarray | None = None) -> np.ndarray:
        contributions = self._with_draws(contributions_to_bound)
        return self._compute(rows, contributions, n_draws=self.n_importance_samples, index=index)

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the difference of each row's score to `offset_`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data within the support of the likelihood.

        Returns
        -------
        decision : ndarray of shape (n_samples,)
            Differences in nats: negative for outliers.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Label each row as an inlier or an outlier.

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

    @isolate
    def explain(self, X: Any) -> tuple[Any, Any]:
        """Split the score of each row into contributions of the features and of the code.

        The contribution of a feature is the feature's log-likelihood given the code of the row,
        averaged over the draws from the posterior by their importance weights. The contribution of
        the code is the remainder of the score: low for codes far from usual codes. For
        ``Gaussian("full")``, features share the log-likelihood regardless of their order. The
        median contributions over the training rows are subtracted, so that contributions show what
        is unusual. Negative contributions indicate an outlier. The sum is the score:
        ``features.sum(axis=1) + code + usual_contributions_.sum() == score_samples(X)``.

        Compare X with `reconstruct` to see whether a value is unusually high or low.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data within the support of the likelihood.

        Returns
        -------
        features : ndarray or DataFrame of shape (n_samples, n_features)
            Contributions of the features without condition columns, in nats. For a data frame of
            pandas or polars, a data frame of the same library with the column names and the index
            of X.
        code : ndarray or Series of shape (n_samples,)
            Contributions of the code, in nats. For a data frame of pandas or polars, a series of
            the same library, named "code", with the index of X.
        """
        check_is_fitted(self)
        contributions = self._contributions(self._read(X))
        unusual = contributions - self.usual_contributions_.astype(contributions.dtype)
        modelled = np.flatnonzero(self._reader.modelled)
        return labelled_like(X, unusual[:, :-1], unusual[:, -1], "code", modelled)

    def _resolve_likelihood(self) -> Likelihood:
        if self.likelihood != "auto":
            return super()._resolve_likelihood()
        if not self.novelty:
            return _OUTLIER_LIKELIHOOD
        return StudentT(self._auto_noise, floor=0.1)

    def _auto_n_steps(self, n_rows: int, steps_per_epoch: int, starts_linear: bool) -> float:
        n_steps = super()._auto_n_steps(n_rows, steps_per_epoch, starts_linear)
        return min(n_steps, _MAX_AUTO_ITER * steps_per_epoch)

    def _params_for(self, config_class: type) -> dict[str, Any]:
        params = super()._params_for(config_class)
        if params.get("trim") == "auto":
            params["trim"] = 0.0 if self.novelty else _OUTLIER_TRIM
        return params
