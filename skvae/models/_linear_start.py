"""Initial weights at the optimal linear model of the training rows."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn

from ..likelihoods import (
    DF_BOUNDS,
    INITIAL_DF,
    LocationScale,
    Parameters,
    StudentT,
    correlated_params,
)
from ..utils import soft_clamp_inverse
from ._linear_model import LinearModel, factor_analysis, probabilistic_pca
from ._noise_covariance import noise_covariance
from ._perceptrons import LinearPath
from ._posterior import MAX_LOG_VAR
from ._robust_linear_model import NoiseScope, StudentNoise, robust_linear_model
from ._vae import VAE

_N_CONCENTRATION_STEPS = 3
# Smallest standard deviation given the conditions, as a fraction of the deviation of all rows: the
# inputs of the networks would be very large otherwise.
_MIN_SCALE = 0.01


@torch.no_grad()
def start_at_linear_model(module: VAE, x: Tensor, *, trim: float = 0.0) -> None:
    """Set the weights of a new module to those of the optimal linear model.

    The noise of the linear model has the structure of the likelihood: factor analysis for a noise
    per column or row, and probabilistic PCA for a shared or fixed noise. A full noise has the
    covariance of what the factors leave unexplained. For Student's t, expectation maximisation
    continues from there. The linear paths of encoder and decoder become the posterior and the
    loadings of the linear model. The last layers of the perceptrons become zero, so training
    departs from the linear model. With conditions, the linear model is that of the residuals of a
    linear regression on the conditions.

    Parameters
    ----------
    module : VAE
        A module after `initialize`.
    x : Tensor of shape (n, n_features + n_conditions)
        Standardised training rows, in float64.
    trim : float, default=0.0
        Fraction of the rows that training leaves out. The linear model is then that of the other
        rows.
    """
    likelihood, encoder, decoder = module.likelihood, module.encoder, module.decoder
    assert isinstance(likelihood, LocationScale)
    assert isinstance(encoder, LinearPath)
    assert isinstance(decoder, LinearPath)
    x, c = module.split(x)
    if c is not None:
        effects = _regression(x, c)  # (n_conditions, n_features)
        x = x - c @ effects
    if trim:
        x = _without_outliers(module, likelihood, x, trim)
    model, df = _fit(module, likelihood, x)
    model = model.rotated()
    n_features, n_factors = model.loadings.shape
    for network in (encoder, decoder):
        network.set_zero()
    weight, var = model.posterior()
    mean_bias, log_var_bias = encoder.linear.bias.chunk(2)
    encoder.linear.weight[:n_factors, :n_features] = weight
    mean_bias[:n_factors] = -weight @ model.mean
    log_var_bias[:n_factors] = soft_clamp_inverse(var.log(), MAX_LOG_VAR)
    loadings, params = model.loadings, {}
    if not likelihood.is_correlated:
        params = _learned_params(likelihood, model, df)
    else:
        fit = partial(_fit_normal, module, likelihood)
        covariance = noise_covariance(x, model, fit)
        params = correlated_params(model.mean, covariance)
        loadings = params["whitening"] @ loadings
    decoder.linear.weight[:n_features, :n_factors] = loadings
    if c is not None:
        encoder.linear.weight[:n_factors, n_features:] = -weight @ effects.T
        if likelihood.is_correlated:
            effects = effects @ params["whitening"].T
        decoder.linear.weight[:n_features, module.latent_dim :] = effects.T
    module.set_params(params)


@torch.no_grad()
def scale_given_conditions(module: VAE, x: Tensor) -> None:
    """Set the units of columns to standard deviations given the conditions.

    A floor of the noise is a fraction of the unit. In units of all rows, differences between
    conditions could make the floor larger than the spread of the rows of one condition.

    Parameters
    ----------
    module : VAE
        A module with conditions, after `initialize`.
    x : Tensor of shape (n, n_features + n_conditions)
        Standardised training rows, in float64.
    """
    x, c = module.split(x)
    assert c is not None
    residual = x - x.mean(0) - (c - c.mean(0)) @ _regression(x, c)
    std = residual.square().mean(0).sqrt().clamp(_MIN_SCALE, 1.0)
    module.units.scale *= torch.where(x.var(0, correction=0) > 0, std, 1.0)


def _regression(x: Tensor, c: Tensor) -> Tensor:
    """Return the coefficients of the linear regression of x, (n, d), on c, (n, m): (m, d).

    One-hot columns sum to 1, so the solution of minimal norm is used.
    """
    c = c - c.mean(0)
    return torch.linalg.pinv(c.T @ c, hermitian=True) @ (c.T @ (x - x.mean(0)))


def _fit(module: VAE, likelihood: LocationScale, x: Tensor) -> tuple[LinearModel, Tensor | None]:
    """Return the linear model with the noise of the likelihood, and degrees of freedom, if any."""
    model = _fit_normal(module, likelihood, x)
    if not isinstance(likelihood, StudentT):
        return model, None
    is_learned = isinstance(likelihood.df, str)
    df = x.new_tensor(INITIAL_DF if is_learned else float(likelihood.df))
    bounds = DF_BOUNDS if is_learned else None
    scope, min_var = _noise_scope(likelihood), likelihood.min_initial_variance
    return robust_linear_model(x, model, StudentNoise(scope, df, bounds, min_var))


def _fit_normal(module: VAE, likelihood: LocationScale, x: Tensor) -> LinearModel:
    """Return the linear model with normal noise."""
    n_factors, min_var = min(module.latent_dim, x.shape[1]), likelihood.min_initial_variance
    mean = x.mean(0)
    covariance = (x - mean).T @ (x - mean) / len(x)
    scope = _noise_scope(likelihood)
    if scope == "feature":
        model = factor_analysis(covariance, n_factors, min_noise_var=min_var)
    else:
        scale = module.units.scale[0]
        given = (float(likelihood.noise) / scale).square() if scope == "fixed" else None
        model = probabilistic_pca(covariance, n_factors, noise_var=given, min_noise_var=min_var)
    return model._replace(mean=mean)


def _without_outliers(module: VAE, likelihood: LocationScale, x: Tensor, trim: float) -> Tensor:
    """Return rows without the fraction `trim`, the rows that a linear model explains worst.

    Outliers bend the model of all rows, but hardly the model of the half that the model explains
    best. Concentration steps find this half: Rousseeuw and Van Driessen, "A fast algorithm for the
    minimum covariance determinant estimator", Technometrics, 1999.
    """
    kept = x
    for fraction in (*[0.5] * _N_CONCENTRATION_STEPS, 1 - trim):
        distances = _fit_normal(module, likelihood, kept).rotated().distances(x)
        kept = x[distances.argsort(stable=True)[: math.ceil(fraction * len(x))]]
    return kept


def _noise_scope(likelihood: LocationScale) -> NoiseScope:
    if not isinstance(likelihood.noise, str):
        return "fixed"
    return "shared" if likelihood.noise == "shared" else "feature"


def _learned_params(likelihood: LocationScale, model: LinearModel, df: Tensor | None) -> Parameters:
    """Return the learned parameters of the likelihood."""
    params = {"mean": model.mean}
    if isinstance(likelihood.noise, str):
        params["log_noise"] = likelihood.initial_log_noise(model.noise_var)
    if isinstance(likelihood, StudentT) and isinstance(likelihood.df, str) and df is not None:
        params["log_df"] = likelihood.initial_log_df(df)
    return params


def decaying_weights(module: VAE) -> list[Tensor]:
    """Return views of the decoder's weights for weight decay.

    With zeros in place of these weights, the mean is linear in the code, and the noise constant.
    """
    decoder = module.decoder
    if not isinstance(decoder, LinearPath):
        return _matrices(decoder)
    weights = [] if decoder.perceptron is None else _matrices(decoder.perceptron)
    path_to_noise = decoder.linear.weight.detach()[module.config.n_features :]
    if len(path_to_noise) and decoder.linear.weight.requires_grad:
        weights.append(path_to_noise)
    return weights


def departures_of_noise(module: VAE) -> list[Tensor]:
    """Return views of the parameters of a full noise for weight decay.

    With zeros in place of these parameters, the noise has the covariance of the linear model.
    """
    if not (module.likelihood.is_correlated and isinstance(module.decoder, LinearPath)):
        return []
    return [p.detach() for p in module.global_params.values() if p.requires_grad]


def _matrices(network: nn.Module) -> list[Tensor]:
    return [p.detach() for p in network.parameters() if p.requires_grad and p.ndim > 1]
