r"""
The mathematics, step by step
=============================

Where the loss comes from, with each step checked by numbers: the evidence lower bound, the closed
form of the KL divergence, the reparameterisation that makes it trainable, and how far the
bound lies below what it bounds. After Kingma and Welling, "Auto-encoding variational Bayes",
ICLR 2014.
"""

# %%
# The model
# ---------
# A row :math:`x` is thought to arise from a code :math:`z` of few dimensions:
#
# .. math:: z \sim p(z) = \mathcal N(0, I), \qquad x \sim p_\theta(x \mid z),
#
# where the *decoder*, a network with weights :math:`\theta`, gives the parameters of the
# *likelihood* :math:`p_\theta(x \mid z)`. Training should make the data probable. The density of
# a row is an integral over all codes it may have come from:
#
# .. math:: p_\theta(x) = \int p_\theta(x \mid z)\, p(z)\, dz .
#
# There is no closed form for it, and drawing codes from the prior wastes nearly all of them on
# codes that have nothing to do with this row.
#
# The evidence lower bound
# ------------------------
# So a second network, the *encoder* with weights :math:`\phi`, guesses which codes a row may have
# come from: :math:`q_\phi(z \mid x) = \mathcal N(\mu(x), \operatorname{diag}\sigma^2(x))`. For
# any such guess,
#
# .. math::
#
#    \log p_\theta(x)
#    &= \mathbb E_{q_\phi(z \mid x)} \left[ \log p_\theta(x) \right]
#       && \text{it does not depend on } z \\
#    &= \mathbb E_q \left[ \log \frac{p_\theta(x \mid z)\, p(z)}{p_\theta(z \mid x)} \right]
#       && \text{Bayes' theorem} \\
#    &= \mathbb E_q \left[ \log \frac{p_\theta(x \mid z)\, p(z)}{q_\phi(z \mid x)}
#                        + \log \frac{q_\phi(z \mid x)}{p_\theta(z \mid x)} \right]
#       && \text{a fraction extended by } q \\
#    &= \underbrace{\mathbb E_q \left[ \log p_\theta(x \mid z) \right]
#       - \mathrm{KL}\left( q_\phi(z \mid x) \,\|\, p(z) \right)}_{\text{ELBO}}
#       + \mathrm{KL}\left( q_\phi(z \mid x) \,\|\, p_\theta(z \mid x) \right) .
#
# The last term is not negative, and is zero only if the guess is the true posterior. Without it,
# what is left is a lower bound on the log-density: the *evidence lower bound* (ELBO). Raising it
# makes the data more probable or the guess better. The loss is its negative: *reconstruction loss*
# plus *KL divergence*.
#
# The KL divergence and its sign
# ------------------------------
# Between :math:`\mathcal N(\mu, \sigma^2)` and the prior it has a closed form. For one dimension,
#
# .. math::
#
#    \mathrm{KL} = \mathbb E_q \left[ \log q(z) - \log p(z) \right]
#    = \mathbb E_q \left[ -\tfrac12 \log \sigma^2 - \tfrac{(z - \mu)^2}{2 \sigma^2}
#      + \tfrac{z^2}{2} \right]
#    = \tfrac12 \left( \mu^2 + \sigma^2 - \log \sigma^2 - 1 \right),
#
# since :math:`\mathbb E_q (z - \mu)^2 = \sigma^2` and :math:`\mathbb E_q z^2 = \mu^2 + \sigma^2`.
# Dimensions are independent, so theirs add up. A derivation that is often read ends with the sign
# turned round. It is this one that is not negative:

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
# The other term, :math:`\mathbb E_q [\log p_\theta(x \mid z)]`, is estimated with one draw of
# :math:`z` per row. But one cannot differentiate through "draw :math:`z` from
# :math:`\mathcal N(\mu, \sigma^2)`". One can through
#
# .. math:: z = \mu + \sigma \varepsilon, \qquad \varepsilon \sim \mathcal N(0, 1),
#
# which has the same distribution: the randomness comes from outside, and :math:`\mu` and
# :math:`\sigma` are reached by ordinary gradients. For
# :math:`f(z) = z^2` the expectation is :math:`\mu^2 + \sigma^2`, so its gradients must be
# :math:`2\mu` and :math:`2\sigma`:

mean = torch.tensor(0.7, requires_grad=True)
std = torch.tensor(1.3, requires_grad=True)
eps = torch.randn(200_000, generator=torch.Generator().manual_seed(0))
((mean + std * eps) ** 2).mean().backward()
print(f"gradient by mu:    {mean.grad:.3f}, exact 1.4")
print(f"gradient by sigma: {std.grad:.3f}, exact 2.6")

# %%
# How tight is the bound?
# -----------------------
# With two latent dimensions the integral over codes can be done by brute force: as a sum over
# a fine grid of the plane. That gives the true :math:`\log p_\theta(x)` of a trained model, here
# with a Gaussian likelihood of known noise on the wines of scikit-learn.

X = StandardScaler().fit_transform(load_wine().data)  # 178 wines, 13 measurements
noise = 0.5
vae = VAETransformer(2, likelihood=Gaussian(noise), random_state=0).fit(X)

steps = np.linspace(-5, 5, 301)
grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
means = vae.inverse_transform(grid)  # of p(x | z), at each z of the grid
log_prior = norm.logpdf(grid).sum(axis=1) + 2 * np.log(steps[1] - steps[0])  # of each small square
log_evidence = [logsumexp(norm.logpdf(x, means, noise).sum(axis=1) + log_prior) for x in X]

# %%
# The ELBO is the bound for one draw from the posterior. With the mean over several draws
# *inside* the logarithm it becomes tighter (Burda, Grosse and Salakhutdinov, "Importance
# weighted autoencoders", ICLR 2016):
#
# .. math:: \mathbb E_{z_1, \dots, z_K \sim q}
#    \log \frac1K \sum_{k=1}^K \frac{p_\theta(x \mid z_k)\, p(z_k)}{q_\phi(z_k \mid x)}
#    \le \log p_\theta(x) .
#
# This is what `score` returns, with ``n_importance_samples`` draws. Training takes one. The draws
# of `score` are not random but evenly spread, and the same for all rows, so the estimates need not
# rise with every step.

n_draws = 2 ** np.arange(11)
bounds = [vae.set_params(n_importance_samples=int(n)).score(X) for n in n_draws]
print(pd.Series(bounds, index=n_draws, name="bound").rename_axis("draws").round(3).to_string())
print(f"log p(x):  {np.mean(log_evidence):.3f}")

figure, ax = plt.subplots(layout="constrained")
ax.semilogx(n_draws, bounds, "o-", base=2, label="bound")
ax.axhline(np.mean(log_evidence), color="black", linestyle="--", label="log p(x), by integration")
ax.set(xlabel="draws from the posterior", ylabel="nats per row")
ax.legend()

# %%
# Twenty epochs on MNIST
# ----------------------
# The same on images, where the likelihood is Bernoulli and a row has 784 pixels. The two terms of
# the bound over 20 epochs:

train, test = fetch_mnist(), fetch_mnist(subset="test")
vae = VAETransformer(2, likelihood="bernoulli", max_iter=20, random_state=0).fit(train.data)
LossCurveDisplay.from_estimator(vae)

# %%
# The codes of the test images, which the KL term holds near the prior, a standard normal:

LatentSpaceDisplay.from_estimator(vae, test.data, test.target, target_names=test.target_names)

# %%
# And the manifold of digits: the decoder's mean at the prior's quantiles.

ManifoldDisplay.from_estimator(vae, n_steps=20, image_shape=(28, 28))

plt.show()
# sphinx_gallery_thumbnail_path = "images/bound.png"
