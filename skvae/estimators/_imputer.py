"""`VAEImputer`: imputation of missing values."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import TransformerMixin
from sklearn.utils import check_scalar
from sklearn.utils._param_validation import MissingValues
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ..likelihoods import LIKELIHOODS, Likelihood, resolve_likelihood
from ..models import VAE, importance_resampled_codes, importance_weighted_draws
from ..priors import Prior
from ..utils import draw_seed, isolate, local_random_state, seeded_generator
from ._base import BaseVAE
from ._conditions import fit_conditions
from ._imputer_output import ImputerOutputMixin
from ._parameters import NETWORK_CONSTRAINTS, names_in_errors, one_of
from ._persistence import loadable
from ._readers import ArrayReader, FrameReader, incomplete_rows, is_nan_marker, replace_marker
from ._validation import validate_array, validate_table

# Numbers of epochs with ``max_iter="auto"``.
_AUTO_ITER, _AUTO_ITER_MIXED = 200, 80


@loadable
class VAEImputer(ImputerOutputMixin, TransformerMixin, BaseVAE):
    """Imputation of missing values by a variational autoencoder.

    The model learns from observed entries only: training maximises the importance-weighted bound on
    their log-density (MIWAE). Each missing entry is filled with its conditional mean given the
    observed entries of the row. Observed entries are unchanged.

    The method assumes that values are missing at random: whether an entry is missing may depend on
    the observed entries of the row, but not on the missing entry.

    Parameters
    ----------
    latent_dim : int, default=10
        Number of latent dimensions: the dimension of z.
    missing_values : float, int, None or pandas.NA, default=np.nan
        Placeholder of missing entries. NaN, None and pandas.NA are equivalent. With another number
        as the placeholder, NaN in X is an error.
    add_indicator : bool, default=False
        Whether `transform` appends the columns of a `sklearn.impute.MissingIndicator`: one column
        for each feature with missing entries in `fit`, with 1 for missing entries.
    keep_empty_features : bool, default=False
        Whether features without any observed entry in `fit` are filled with 0. Otherwise,
        `transform` drops these features. The model never learns from empty features.
    prior : {"normal", "mixture", "vamp", "flow"} or Prior, default="normal"
        Distribution of codes p(z): a standard normal distribution, or a distribution that is
        learned from the training rows. An object such as ``Mixture(n_components=20)`` sets options:
        see `skvae.priors`.
    n_training_draws : int, default=20
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
    n_importance_samples : int, default=200
        Number of draws from the posterior per row in `transform`, `sample_imputations`, `score` and
        `score_samples`. More draws give better estimates and a tighter bound.
    hidden_layer_sizes : array-like of int or "auto", default=(128, 128)
        Widths of the encoder's hidden layers. The decoder has the same layers in reverse order.
        ``()`` is a linear model. With ``architecture="conv"``, the numbers of 3x3 filters of stages
        that each halve the image, followed by the width of a dense layer. "auto" is (256, 128), or
        (32, 64, 128) for "conv". Custom architectures ignore this parameter.
    activation : str, default="tanh"
        Activation function of the hidden layers: "gelu", "relu", "silu", "elu", "leaky_relu",
        "softplus", "tanh", "logistic" or "identity".
    architecture : {"mlp", "fourier_mlp", "conv"} or callable, default="mlp"
        Networks of the encoder and the decoder:

        - "mlp": multilayer perceptrons.
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
    likelihood : str or Likelihood, default="gaussian"
        Distribution of a row given its code:

        - "mixed": data frames with columns of any type, which are read as by `TabularVAE` and keep
          their dtypes. Missing numbers are filled with conditional means, rounded as the values of
          the column, and missing categories with the most probable category.
        - "gaussian": real numbers on any scale.
        - "student_t": real numbers with outlying values.
        - "bernoulli", "continuous_bernoulli": values in [0, 1].
        - "poisson", "negative_binomial": counts.

        An object such as ``Gaussian(noise="shared")`` sets options: see `skvae.likelihoods`.
    solver : {"adam", "adamw", "rmsprop"}, default="adam"
        Optimizer that updates the weights.
    alpha : float or "auto", default=0.0
        Strength of weight decay. Each step multiplies the weight matrices of the decoder by one
        minus `alpha` times the learning rate, except for the weights of the linear path to the
        means. "auto" is ``(300 / n_samples) ** 2 * min(2, n_features / 20)``, and up to three times
        as much for ``Gaussian("shared")`` and ``Gaussian("full")``, for a model with a linear path,
        which few rows hold close to the linear model. For other models, "auto" is 0.
    learning_rate : {"cosine", "constant"}, default="cosine"
        Schedule of the learning rate. "cosine" rises to `learning_rate_init` over the first
        200 steps, within 5% and 20% of all steps, and then falls to zero along a cosine.
        "constant" is `learning_rate_init` throughout.
    learning_rate_init : float or "auto", default=0.002
        Highest learning rate. "auto" is 0.006 for training of up to 2,000 steps. For longer
        training, the rate falls with the fourth root of the number of steps, to 0.004 for 10,000
        steps. The rate is at most 0.006 times the square root of 256 over the number of units of
        the widest layer.
    batch_size : int or "auto", default="auto"
        Number of rows per step. "auto" divides the rows into equal batches of at most a fiftieth
        of the rows, but 64 to 200 rows. For more than 100,000 rows, batches are a five-hundredth of
        the rows, and at most 2,000 rows.
    max_iter : int or "auto", default="auto"
        Largest number of epochs. "auto" is 200 epochs, or 80 with ``likelihood="mixed"``, whose
        decoder has many more outputs and over-fits earlier.
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
    indicator_ : sklearn.impute.MissingIndicator
        Indicator of missing entries, if `add_indicator` is True.
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
        "validation_kl_loss". Losses are those of observed entries.
    loss_curve_ : list of float
        ``history_["loss"]``.
    device_ : torch.device
        Device of the model.
    module_ : torch.nn.Module
        The trained networks.

    See Also
    --------
    sklearn.impute.IterativeImputer : Predicts each feature from the other features in turn.
    sklearn.impute.KNNImputer : Fills entries with means of neighbouring rows.

    References
    ----------
    Mattei and Frellsen, "MIWAE: deep generative modelling and imputation of incomplete data sets",
    ICML 2019.

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
        **NETWORK_CONSTRAINTS,
        "missing_values": [MissingValues(numeric_only=True), None],
        "add_indicator": ["boolean"],
        "keep_empty_features": ["boolean"],
        "likelihood": [one_of("mixed", *LIKELIHOODS), Likelihood],
    }
    _takes_missing: ClassVar[bool] = True

    @names_in_errors
    def __init__(
        self,
        latent_dim: int = 10,
        *,
        missing_values: Any = np.nan,
        add_indicator: bool = False,
        keep_empty_features: bool = False,
        prior: str | Prior = "normal",
        n_training_draws: int = 20,
        encoder_dropout: float = 0.0,
        condition_columns: Any = None,
        n_importance_samples: int = 200,
        hidden_layer_sizes: Any = (128, 128),
        activation: str = "tanh",
        architecture: Any = "mlp",
        image_shape: Any = None,
        likelihood: str | Likelihood = "gaussian",
        solver: str = "adam",
        alpha: Any = 0.0,
        learning_rate: str = "cosine",
        learning_rate_init: Any = 0.002,
        batch_size: Any = "auto",
        max_iter: Any = "auto",
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: Any = "auto",
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
        self.missing_values = missing_values
        self.add_indicator = add_indicator
        self.keep_empty_features = keep_empty_features
        self.architecture = architecture
        self.image_shape = image_shape
        self.likelihood = likelihood

    # ---- Imputation ------------------------------------------------------------------

    @isolate
    def transform(self, X: Any) -> Any:
        """Fill missing entries with their conditional means.

        The mean of p(x_missing | x_observed) is estimated by self-normalised importance sampling
        from the posterior: Mattei and Frellsen (2019), equation 11. All rows share the same draws,
        so the imputation of a row depends on this row only. Rows without any observed entry are
        filled with the mean of the model.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data with missing entries. Features may have missing entries that had none in `fit`.

        Returns
        -------
        X_filled : ndarray or, if X is mixed, table of shape (n_samples, n_features_out)
            Filled data. Observed entries equal the entries of X, bit for bit. Columns of tables
            have the dtypes of `fit`.

        Raises
        ------
        TypeError, ValueError
            If X is invalid, or if the dtype of a column in `fit` cannot express an observed entry.
        """
        check_is_fitted(self)

        def estimate(module: VAE, x: Tensor, eps: Tensor) -> Tensor:
            z, weights = importance_weighted_draws(module, x, eps.unsqueeze(1))
            return self._strategy.estimate(module, x, z, weights)

        X_valid = self._validate(X, reset=False)
        rows = self._read_valid(X_valid, source=X)
        n_features = self.module_.config.n_features
        estimates = self._compute_incomplete(rows, self._with_draws(estimate), (n_features,))
        return self._complete(X_valid, self._strategy.fill_estimates(X_valid, rows, estimates))

    @isolate
    def sample_imputations(
        self, X: Any, n_imputations: int = 1, *, random_state: Any = None
    ) -> Any:
        """Fill missing entries with draws from their conditional distribution, several times.

        For multiple imputation: analyse each filled table, and pool the results by Rubin's rules
        (Rubin, "Multiple imputation for nonresponse in surveys", 1987). The draws are made by
        sampling importance resampling: Mattei and Frellsen (2019), section 4.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data with missing entries.
        n_imputations : int, default=1
            Number of imputations.
        random_state : int, RandomState instance or None, default=None
            Controls the draws. Pass an int for reproducible results.

        Returns
        -------
        X_filled : ndarray of shape (n_imputations, n_samples, n_features_out), or list of tables
            Filled data; a list of tables if X is mixed. Observed entries equal the entries of
            X, bit for bit.
        """
        check_is_fitted(self)
        check_scalar(n_imputations, "n_imputations", Integral, min_val=1)
        rng = local_random_state(random_state)
        generator = seeded_generator(draw_seed(rng), self.module_.bias.device)

        def draw(module: VAE, x: Tensor) -> Tensor:
            shape = (self.n_importance_samples, len(x), module.latent_dim)
            eps = torch.randn(shape, generator=generator, dtype=x.dtype, device=x.device)
            z = importance_resampled_codes(module, x, eps, n_imputations, generator)
            return module.complete(x, z.transpose(0, 1), generator).transpose(0, 1)

        X_valid = self._validate(X, reset=False)
        rows = self._read_valid(X_valid, source=X)
        n_features = self.module_.config.n_features
        draws = self._compute_incomplete(rows, draw, (n_imputations, n_features))
        tables = [
            self._complete(X_valid, self._strategy.fill_draws(X_valid, rows, draws[:, i], rng))
            for i in range(n_imputations)
        ]
        return np.stack(tables) if isinstance(tables[0], np.ndarray) else tables

    def _compute_incomplete(
        self, rows: np.ndarray, function: Callable[[VAE, Tensor], Tensor], shape: tuple[int, ...]
    ) -> np.ndarray:
        """Return `function` of the rows with missing entries: an array of `shape` for each row."""
        index = incomplete_rows(rows)
        if not len(index):
            return np.empty((0, *shape))
        n_draws = self.n_importance_samples + math.prod(shape[:-1])
        return self._compute(rows, function, n_draws=n_draws, index=index)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.categorical = self._is_mixed
        return tags

    # ---- Data ------------------------------------------------------------------------

    @property
    def _is_mixed(self) -> bool:
        return isinstance(self.likelihood, str) and self.likelihood == "mixed"

    def _auto_n_steps(self, n_rows: int, steps_per_epoch: int, starts_linear: bool) -> float:
        return steps_per_epoch * (_AUTO_ITER_MIXED if self._is_mixed else _AUTO_ITER)

    def _resolve_likelihood(self) -> Likelihood:
        return self._reader.likelihood if self._is_mixed else resolve_likelihood(self.likelihood)

    def _validate(self, X: Any, *, reset: bool) -> Any:
        if not self._is_mixed:
            encode = partial(self._encode_conditions, reset=reset)
            allow_nan = is_nan_marker(self.missing_values)
            X = validate_array(self, X, reset=reset, encode=encode, allow_nan=allow_nan)
            return replace_marker(X, self.missing_values)
        if not is_nan_marker(self.missing_values):
            raise ValueError(
                "With likelihood='mixed', missing entries are NaN, None or pandas.NA; got "
                f"missing_values={self.missing_values!r}."
            )
        return validate_table(self, X, reset=reset, takes_arrays=False)

    def _make_reader(self, X_valid: Any) -> ArrayReader | FrameReader:
        if self._is_mixed:
            conditions = fit_conditions(self.condition_columns, X_valid.frame)
            return FrameReader(missing_is_level=False, conditions=conditions).fit(X_valid)
        conditions = self._reader.conditions
        coded = [c.name for c in conditions.columns if c.has_codes] if conditions else []
        if coded:
            raise ValueError(
                f"The condition columns {coded} are no numbers, but the result of VAEImputer is an "
                "array. Use likelihood='mixed', or encode the columns as numbers."
            )
        return self._reader.fit(X_valid)
