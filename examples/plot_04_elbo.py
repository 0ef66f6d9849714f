r"""
The mathematics of variational autoencoders
===========================================

This example derives the loss of a variational autoencoder, and verifies each step numerically: the
evidence lower bound, the closed form of the KL divergence, the reparameterisation for gradients,
and the tightness of the bound. The derivation follows Kingma and Welling, "Auto-encoding
variational Bayes", ICLR 2014.
"""

# %%
# The model
# ---------
# The model assumes that a row :math:`x` is generated from a code :math:`z` with few dimensions:
#
# .. math:: z \sim p(z) = \mathcal N(0, I), \qquad x \sim p_\theta(x \mid z),
#
# where the *decoder*, a network with weights :math:`\theta`, computes the parameters of the
# *likelihood* :math:`p_\theta(x \mid z)`. Training maximizes the density of the data. The density
# of a row is an integral over all codes:
#
# .. math:: p_\theta(x) = \int p_\theta(x \mid z)\, p(z)\, dz .
#
# This integral has no closed form. A Monte Carlo estimate with codes from the prior is inefficient,
# because almost no code from the prior explains the row.
#
# The evidence lower bound
# ------------------------
# A second network, the *encoder* with weights :math:`\phi`, therefore approximates the posterior,
# the distribution of the code given the row, by
# :math:`q_\phi(z \mid x) = \mathcal N(\mu(x), \operatorname{diag}\sigma^2(x))`. For every
# approximation :math:`q_\phi`,
#
# .. math::
#
#    \log p_\theta(x)
#    &= \mathbb E_{q_\phi(z \mid x)} \left[ \log p_\theta(x) \right]
#       && \text{independent of } z \\
#    &= \mathbb E_q \left[ \log \frac{p_\theta(x \mid z)\, p(z)}{p_\theta(z \mid x)} \right]
#       && \text{Bayes' theorem} \\
#    &= \mathbb E_q \left[ \log \frac{p_\theta(x \mid z)\, p(z)}{q_\phi(z \mid x)}
#                        + \log \frac{q_\phi(z \mid x)}{p_\theta(z \mid x)} \right]
#       && \text{fraction expanded by } q \\
#    &= \underbrace{\mathbb E_q \left[ \log p_\theta(x \mid z) \right]
#       - \mathrm{KL}\left( q_\phi(z \mid x) \,\|\, p(z) \right)}_{\text{ELBO}}
#       + \mathrm{KL}\left( q_\phi(z \mid x) \,\|\, p_\theta(z \mid x) \right) .
#
# The last term is not negative, and is zero only if the approximation is the true posterior. The
# other terms are therefore a lower bound on the log-density, the *evidence lower bound* (ELBO).
# Maximizing the ELBO increases the density of the data or improves the approximation. The loss is
# the negative ELBO: the *reconstruction loss* plus the *KL divergence*.
#
# The KL divergence
# -----------------
# The KL divergence between :math:`\mathcal N(\mu, \sigma^2)` and the prior has a closed form. In
# one dimension,
#
# .. math::
#
#    \mathrm{KL} = \mathbb E_q \left[ \log q(z) - \log p(z) \right]
#    = \mathbb E_q \left[ -\tfrac12 \log \sigma^2 - \tfrac{(z - \mu)^2}{2 \sigma^2}
#      + \tfrac{z^2}{2} \right]
#    = \tfrac12 \left( \mu^2 + \sigma^2 - \log \sigma^2 - 1 \right),
#
# since :math:`\mathbb E_q (z - \mu)^2 = \sigma^2` and :math:`\mathbb E_q z^2 = \mu^2 + \sigma^2`.
# The dimensions are independent, so the divergences of all dimensions are summed. Some published
# derivations end with the opposite sign. The sign above is correct, as the following check shows:
# the result is not negative, is zero if the two distributions are equal, and agrees with
# ``torch.distributions``.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from scipy.special import logsumexp
from scipy.stats import norm
from sklearn.datasets import load_wine
from sklearn.preprocessing import StandardScaler
from torch.distributions import Normal, kl_divergence

from skvae import Gaussian, VAETransformer
from skvae.datasets import fetch_mnist
from skvae.displays import LatentSpaceDisplay, LossCurveDisplay, ManifoldDisplay

plt.style.use("tableau-colorblind10")
rng = np.random.RandomState(0)
mu, sigma = rng.normal(size=1000), np.exp(rng.normal(size=1000))
closed_form = 0.5 * (mu**2 + sigma**2 - np.log(sigma**2) - 1)
by_torch = kl_divergence(Normal(torch.tensor(mu), torch.tensor(sigma)), Normal(0.0, 1.0)).numpy()
print(f"lowest of 1,000: {closed_form.min():.5f}")
print(f"at mu = 0, sigma = 1: {0.5 * (0 + 1 - np.log(1) - 1)}")
print(f"largest difference from torch.distributions: {np.abs(closed_form - by_torch).max():.1e}")

# %%
# Reparameterisation
# ------------------
# The reconstruction term, :math:`\mathbb E_q [\log p_\theta(x \mid z)]`, is estimated with a single
# draw of :math:`z` per row. A draw from :math:`\mathcal N(\mu, \sigma^2)` is not differentiable
# with respect to :math:`\mu` and :math:`\sigma`. The reparameterisation
#
# .. math:: z = \mu + \sigma \varepsilon, \qquad \varepsilon \sim \mathcal N(0, 1),
#
# has the same distribution and is differentiable, because the random variable
# :math:`\varepsilon` does not depend on :math:`\mu` and :math:`\sigma`. As a check, the expectation
# of :math:`f(z) = z^2` is :math:`\mu^2 + \sigma^2`, with the gradients :math:`2\mu` and
# :math:`2\sigma`.

mean = torch.tensor(0.7, requires_grad=True)
std = torch.tensor(1.3, requires_grad=True)
eps = torch.randn(200_000, generator=torch.Generator().manual_seed(0))
((mean + std * eps) ** 2).mean().backward()
print(f"gradient by mu:    {mean.grad:.3f}, exact 1.4")
print(f"gradient by sigma: {std.grad:.3f}, exact 2.6")

# %%
# Tightness of the bound
# ----------------------
# With two latent dimensions, the integral over codes can be approximated by a sum over a fine grid.
# The sum yields the exact :math:`\log p_\theta(x)` of a trained model, up to the error of the grid.
# We fit a model with a Gaussian likelihood of known noise to the wine data of scikit-learn.

X = StandardScaler().fit_transform(load_wine().data)  # 178 wines, 13 measurements
noise = 0.3
# Without weight decay, the decoder is more curved, and the posterior less normal.
vae = VAETransformer(2, likelihood=Gaussian(noise), alpha=0.0, random_state=0).fit(X)

steps = np.linspace(-5, 5, 301)
grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
means = vae.inverse_transform(grid)  # mean of p(x | z) for each z of the grid
log_prior = norm.logpdf(grid).sum(axis=1) + 2 * np.log(steps[1] - steps[0])  # log mass of each cell
log_evidence = [logsumexp(norm.logpdf(x, means, noise).sum(axis=1) + log_prior) for x in X]

# %%
# The ELBO is the bound for a single draw from the posterior. The mean over several draws *inside*
# the logarithm gives a tighter bound (Burda, Grosse and Salakhutdinov, "Importance weighted
# autoencoders", ICLR 2016):
#
# .. math:: \mathbb E_{z_1, \dots, z_K \sim q}
#    \log \frac1K \sum_{k=1}^K \frac{p_\theta(x \mid z_k)\, p(z_k)}{q_\phi(z_k \mid x)}
#    \le \log p_\theta(x) .
#
# `score` returns this bound, with ``n_importance_samples`` draws. Training uses a single draw. The
# draws of `score` are not random, but evenly distributed and equal for all rows. Therefore, the
# estimates need not increase with every step.

n_draws = 2 ** np.arange(11)
bounds = [vae.set_params(n_importance_samples=int(n)).score(X) for n in n_draws]
print(pd.Series(bounds, index=n_draws, name="bound").rename_axis("draws").round(3).to_string())
print(f"log p(x):  {np.mean(log_evidence):.3f}")

figure, ax = plt.subplots(layout="constrained")
ax.semilogx(n_draws, bounds, "o-", base=2, label="bound")
ax.axhline(np.mean(log_evidence), color="black", linestyle="--", label="log p(x), by integration")
ax.set(xlabel="draws from the posterior", ylabel="nats per row, higher is better")
ax.legend()

# %%
# Twenty epochs on MNIST
# ----------------------
# Finally, we train on images with 784 pixels and a Bernoulli likelihood. The plot shows the two
# terms of the bound over 20 epochs.

train, test = fetch_mnist(), fetch_mnist(subset="test")
vae = VAETransformer(2, likelihood="bernoulli", max_iter=20, random_state=0).fit(train.data)
LossCurveDisplay.from_estimator(vae)

# %%
# The KL term keeps the distribution of the codes near the prior, a standard normal distribution.
# The plot shows the codes of the test images.

LatentSpaceDisplay.from_estimator(vae, test.data, test.target, target_names=test.target_names)

# %%
# The manifold of digits is the decoder mean at the quantiles of the prior.

ManifoldDisplay.from_estimator(vae, n_steps=20, image_shape=(28, 28))

plt.show()
# sphinx_gallery_thumbnail_path = "images/thumbnails/plot_04_elbo.png"
