"""`VAETransformer`: dimensionality reduction."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_is_fitted

from ..likelihoods import LIKELIHOODS, Likelihood, StudentT
from ..priors import Prior
from ..utils import isolate
from ._array_vae import ArrayVAE
from ._inference import posterior_mean
from ._parameters import NETWORK_CONSTRAINTS, OBJECTIVE_CONSTRAINTS, names_in_errors, one_of
from ._persistence import loadable
from ._validation import validate_codes


@loadable
class VAETransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ArrayVAE):
    """Dimensionality reduction by a variational autoencoder.

    A decoder network defines how rows arise from low-dimensional codes z: ``p(x | z)`` under a
    prior ``p(z)``, by default ``N(0, prior_std^2 I)``. An encoder network gives the diagonal
    Gaussian ``q(z | x)`` of each row. Training maximises the evidence lower bound
    ``E_q[log p(x | z)] - beta * KL(q(z | x) || p(z))``.

    Parameters
    ----------
    latent_dim : int, default=2
        Number of latent dimensions: the dimension of z.
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

        - "auto": ``StudentT(noise="row", df="feature")``, for real numbers on any scale. Each
          column has its own tails, and the noise depends on the code. For architectures other than
          "mlp", ``StudentT(df="feature")``.
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
        Largest number of epochs. "auto" is the number of epochs for 120 steps, plus one step for
        every six rows, up to 20,000 steps. Training that does not start at a linear model takes 400
        steps, plus 0.9 steps for each row, up to 30,000 steps.
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
        "validation_kl_loss".
    loss_curve_ : list of float
        ``history_["loss"]``.
    device_ : torch.device
        Device of the model.
    module_ : torch.nn.Module
        The trained networks.

    References
    ----------
    Kingma and Welling, "Auto-encoding variational Bayes", ICLR 2014.

    Rezende, Mohamed and Wierstra, "Stochastic backpropagation and approximate inference in deep
    generative models", ICML 2014.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import VAETransformer
    >>> X = load_digits().data / 16
    >>> vae = VAETransformer(latent_dim=2, likelihood="bernoulli", max_iter=5, random_state=0)
    >>> Z = vae.fit_transform(X)
    >>> Z.shape
    (1797, 2)
    >>> vae.inverse_transform(Z).shape
    (1797, 64)
    >>> vae.sample(3, random_state=0).shape
    (3, 64)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **ArrayVAE._parameter_constraints,
        **NETWORK_CONSTRAINTS,
        **OBJECTIVE_CONSTRAINTS,
        "likelihood": [one_of("auto", *LIKELIHOODS), Likelihood],
    }
    # Conditions are not routed through pipelines.
    __metadata_request__inverse_transform: ClassVar[dict[str, Any]] = {"conditions": UNUSED}

    @names_in_errors
    def __init__(
        self,
        latent_dim: int = 2,
        *,
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
        self.architecture = architecture
        self.image_shape = image_shape
        self.likelihood = likelihood
        self.beta = beta
        self.kl_warmup = kl_warmup
        self.prior_std = prior_std

    @isolate
    def transform(self, X: Any) -> np.ndarray:
        """Return the code of each row: the posterior mean.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data within the support of the likelihood.

        Returns
        -------
        Z : ndarray of shape (n_samples, latent_dim)
            E[z | x], in float32 if X is float32, else in float64.
        """
        return self._infer(X, posterior_mean)

    @isolate
    def inverse_transform(self, X: Any, *, conditions: Any = None) -> np.ndarray:
        """Map codes back to data space.

        Parameters
        ----------
        X : array-like of shape (n_samples, latent_dim)
            Codes, as returned by `transform`.
        conditions : mapping or data frame, default=None
            Value of each condition column, by name or position: a value for all rows, or
            `n_samples` values. Required if the model has condition columns.

        Returns
        -------
        X_mean : ndarray of shape (n_samples, n_features)
            E[x | z] for each code z, in the units of the training data, without condition columns.
        """
        check_is_fitted(self)
        Z = validate_codes(X, self.module_.latent_dim)
        return self._decode(Z, self._expand_conditions(conditions, len(Z)))

    def _resolve_likelihood(self) -> Likelihood:
        if self.likelihood != "auto":
            return super()._resolve_likelihood()
        return StudentT(self._auto_noise, df="feature")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
