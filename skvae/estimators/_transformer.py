"""`VAETransformer`: rows to codes and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin

from ._base import BaseVAE


class VAETransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseVAE):
    """Dimensionality reduction by a variational autoencoder.

    A decoder network says how rows arise from codes z of few dimensions: ``p(x | z)`` under
    the prior ``N(0, prior_std^2 I)``. An encoder network gives the diagonal Gaussian
    ``q(z | x)`` for each row. Both are trained to maximise the evidence lower bound
    ``E_q[log p(x | z)] - beta * KL(q(z | x) || p(z))``.

    Parameters
    ----------
    latent_dim : int, default=2
        Dimension of z.
    hidden_layer_sizes : array-like of int or "auto", default="auto"
        Widths of the encoder's hidden layers; the decoder mirrors them. ``()`` is a linear
        model. With ``architecture="conv"``, the numbers of 3x3 filters of stages that each
        halve the image, and then the width of one dense layer. "auto" is (256, 128), or
        (32, 64, 16) for "conv". Not used by an architecture of your own.
    activation : str, default="gelu"
        Of the hidden layers: "gelu", "relu", "silu", "elu", "leaky_relu", "softplus",
        "tanh", "logistic" or "identity".
    architecture : {"mlp", "fourier_mlp", "conv"} or callable, default="mlp"
        Networks: a multilayer perceptron; one whose decoder also sees sines and cosines of
        the code, which learns maps in two or three latent dimensions in fewer steps; a
        convolutional network over images of `image_shape`; or a callable ``(n_features,
        latent_dim, n_outputs) -> (encoder, decoder)`` that returns two `torch.nn.Module`.
        The encoder must map (n, n_features) to (n, 2 * latent_dim), means and then
        log-variances; the decoder (n, latent_dim) to (n, n_outputs), where n_outputs is
        n_features for each parameter that the likelihood takes from the decoder.
    image_shape : tuple of int, default=None
        (height, width) or (channels, height, width) of the image in a row of X, for "conv".
    likelihood : str or Likelihood, default="gaussian"
        Distribution of a row given its code: "gaussian" for real numbers on any scale,
        "student_t" if some are far out; "bernoulli" or "continuous_bernoulli" for values in
        [0, 1]; "poisson" or "negative_binomial" for counts. An object such as
        ``Gaussian(noise="shared")`` sets options.
    beta : float, default=1.0
        Weight of the KL term in training.
    kl_warmup : float, default=0.0
        Fraction of training over which that weight rises from 0 to `beta`.
    prior_std : float, default=1.0
        Standard deviation of the prior on z. It sets the scale of codes, not their quality.
    solver : {"adam", "adamw", "rmsprop"}, default="adam"
        Optimiser.
    learning_rate : {"cosine", "constant"}, default="cosine"
        Schedule. "cosine" rises to `learning_rate_init` over the first twentieth of
        `max_iter` epochs and then falls to zero along a cosine; "constant" stays there.
    learning_rate_init : float or "auto", default="auto"
        Highest learning rate. "auto" is 0.006; where training is planned to take more than
        2,000 steps, it falls with their fourth root, to 0.004 for 10,000.
    batch_size : int or "auto", default="auto"
        Rows per step. "auto" is a fiftieth of the rows, but 64 to 200; beyond 100,000 rows it
        is a five-hundredth, but at most 2,000.
    max_iter : int, default=100
        Number of epochs.
    early_stopping : bool, default=False
        Whether to hold out `validation_fraction` of the rows, stop when their loss at
        beta = 1 has not fallen by `tol` for `n_iter_no_change` epochs, and keep the weights
        of the best epoch.
    validation_fraction : float, default=0.1
        Fraction of rows held out for early stopping.
    n_iter_no_change : int, default=10
        Epochs to wait for an improvement.
    tol : float, default=1e-4
        Smallest improvement that counts, in nats per row. Without early stopping it applies
        to the training objective, and only at a constant learning rate.
    n_importance_samples : int, default=16
        Draws from the posterior in `score` and `score_samples`. More make the bound tighter.
    warm_start : bool, default=False
        Whether `fit` goes on from the fitted weights, with a new optimiser.
    checkpoint : path-like, Checkpoint or None, default=None
        File to which `fit` writes its progress after each epoch, or as often as a `Checkpoint`
        says, and from which the same `fit` goes on if it finds one there.
    on_interrupt : {"keep", "raise"}, default="keep"
        What Ctrl-C does during `fit`, once an epoch is finished: "keep" leaves an estimator fitted
        with the best epoch so far, or without early stopping the last, and warns; "raise" leaves
        the exception to the caller, as searches need.
    verbose : int, default=0
        Whether to show a progress bar with the loss and its two terms.
    random_state : int, RandomState instance or None, default=None
        Determines start weights, order of rows, draws from the posterior and the rows held
        out. The same int gives the same model, bit for bit, on the same machine. None draws
        a seed afresh: global random states are neither used nor changed.
    device : str or torch.device, default="auto"
        "cpu", "cuda", "cuda:1", "mps", ...; "auto" is the first of CUDA, MPS and CPU that
        is there.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Of the networks' arithmetic in training. "auto" is bfloat16 where the hardware is
        faster in it and the network large enough to gain.

    Attributes
    ----------
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, if X had any.
    n_iter_ : int
        Number of epochs trained.
    history_ : dict of lists
        One entry per epoch each, in nats per row, measured during training: "loss", the
        negative lower bound at beta = 1, and its terms "reconstruction_loss" and "kl_loss";
        "active_units", the number of latent dimensions whose posterior means vary by more
        than 0.01 of the prior's variance; with early stopping also "validation_loss",
        "validation_reconstruction_loss" and "validation_kl_loss".
    loss_curve_ : list of float
        ``history_["loss"]``.
    device_ : torch.device
        Where the model is.
    module_ : torch.nn.Module
        The trained networks.

    References
    ----------
    Kingma and Welling, "Auto-encoding variational Bayes", ICLR 2014.

    Rezende, Mohamed and Wierstra, "Stochastic backpropagation and approximate inference in
    deep generative models", ICML 2014.

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

    def transform(self, X: Any) -> np.ndarray:
        """Return the code of each row: its posterior mean.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data within the support of the likelihood.

        Returns
        -------
        Z : ndarray of shape (n_samples, latent_dim)
            E[z | x], in float32 if X is float32, else in float64.
        """
        return self._infer(X, lambda module, x: module.prior_std * module.encode(x).mean)

    def inverse_transform(self, Z: Any) -> np.ndarray:
        """Return what the decoder makes of codes.

        Parameters
        ----------
        Z : array-like of shape (n_samples, latent_dim)
            Codes, such as `transform` returns.

        Returns
        -------
        X_mean : ndarray of shape (n_samples, n_features)
            E[x | z], in the units of X.
        """
        return self._decode(Z)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
