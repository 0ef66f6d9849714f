"""
MNIST with a multilayer perceptron
==================================

The classic first tutorial trains a variational autoencoder with one hidden layer of 256
units and two latent dimensions on 60,000 handwritten digits, in Keras, and reports a validation
loss of 165.8 after three epochs. Here are its steps, and then answers to its three exercises.
"""

# %%
# The data
# --------
# Pixels lie in [0, 1], so the Bernoulli likelihood suits them: its log-density is what
# Keras calls the (negative) binary cross-entropy, summed over pixels.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer
from skvae.datasets import fetch_mnist, fetch_susy
from skvae.displays import (
    LatentSpaceDisplay,
    LossCurveDisplay,
    ManifoldDisplay,
    ReconstructionDisplay,
    SampleDisplay,
)

train, test = fetch_mnist(), fetch_mnist(subset="test")
print(train.data.shape, test.data.shape, train.data.dtype)

# %%
# Three epochs
# ------------
# The tutorial's network and its batches of 100. One draw from the posterior per row is how
# Keras measures the loss, and how ``n_importance_samples=1`` scores: `score` is the bound, so
# the loss is its negative.

mnist_params = {"likelihood": "bernoulli", "hidden_layer_sizes": (256,), "batch_size": 100}
vae = VAETransformer(2, max_iter=3, n_importance_samples=1, random_state=0, **mnist_params)
vae.fit(train.data)
print(f"loss of the test images: {-vae.score(test.data):.1f} nats per image (tutorial: 165.8)")

# %%
# Twenty epochs, and the loss curve
# ---------------------------------
# `early_stopping` holds out a tenth of the rows and follows their loss. ``history_`` is a table.

vae = VAETransformer(2, max_iter=20, early_stopping=True, random_state=0, **mnist_params)
vae.fit(train.data)
history = pd.DataFrame(vae.history_).rename_axis("epoch")
print(history[::5].round(2).T)

# %%
LossCurveDisplay.from_estimator(vae)

# %%
# The latent space
# ----------------
# Each test image at the mean of its posterior, in the colour of its class.

Z_test = vae.transform(test.data)
LatentSpaceDisplay.from_codes(Z_test, test.target, target_names=test.target_names)

# %%
# Originals, and what the decoder makes of these two numbers each:

ReconstructionDisplay.from_estimator(vae, test.data, image_shape=(28, 28))

# %%
# The manifold
# ------------
# What the decoder makes of a grid of codes. In equal steps of z:

ManifoldDisplay.from_estimator(vae, kind="linear", coverage=0.997, n_steps=20, image_shape=(28, 28))

# %%
# And in equal steps of the prior's probability, through the inverse of its distribution
# function, so that each image stands for an equal share of what the model generates:

ManifoldDisplay.from_estimator(vae, kind="quantile", n_steps=20, image_shape=(28, 28))

# %%
# Exercise 1: the standard deviation of the prior
# -----------------------------------------------
# Nothing changes but the scale of the codes. A prior ten times as wide is the same model in
# other units: encoder and decoder work on codes divided by ``prior_std``.

rows = {}
for prior_std in (0.1, 1.0, 10.0):
    scaled = VAETransformer(2, prior_std=prior_std, max_iter=3, random_state=0, **mnist_params)
    Z_train = scaled.fit_transform(train.data)
    Z_test = scaled.transform(test.data)
    neighbours = KNeighborsClassifier(5).fit(Z_train, train.target)
    rows[prior_std] = {
        "bound": scaled.score(test.data),
        "standard deviation of codes": Z_test.std(),
        "5-NN accuracy": neighbours.score(Z_test, test.target),
    }
print(pd.DataFrame.from_dict(rows, orient="index").rename_axis("prior_std").round(3))

# %%
# Exercise 2: more latent dimensions
# ----------------------------------
# Samples get sharper and the bound rises. ``history_`` counts the dimensions in use: here, all.

dims = (2, 4, 8, 16)
figure, axes = plt.subplots(1, len(dims), figsize=(14, 4), layout="constrained")
rows = {}
for latent_dim, ax in zip(dims, axes, strict=True):
    wider = VAETransformer(latent_dim, max_iter=10, random_state=0, **mnist_params)
    wider.fit(train.data)
    rows[latent_dim] = {
        "bound": wider.score(test.data),
        "active units": wider.history_["active_units"][-1],
    }
    SampleDisplay.from_estimator(wider, n_samples=64, random_state=0, image_shape=(28, 28), ax=ax)
    ax.set_title(f"latent_dim = {latent_dim}")
print(pd.DataFrame.from_dict(rows, orient="index").rename_axis("latent_dim").round(1))

# %%
# Sixteen dimensions do not fit on a page. The KL term makes the codes as a whole about as wide in
# each direction, so two principal components show little of them. t-SNE, here of 5,000 codes,
# shows that the classes lie apart:

figure, axes = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
Z_test = wider.transform(test.data)
for projection, ax in zip(("pca", "tsne"), axes, strict=True):
    LatentSpaceDisplay.from_codes(
        Z_test, test.target, projection=projection, ax=ax, legend=ax is axes[-1]
    )

# %%
# Exercise 3: are supersymmetric events apart?
# --------------------------------------------
# SUSY are simulated collisions of particles: 8 features that a detector measures and 10
# that physicists derived from them. The VAE sees no labels. Half of the rows are held out.

susy = fetch_susy(subset="sample")
X_train, X_test, y_train, y_test = train_test_split(
    susy.data, susy.target, test_size=0.5, random_state=0, stratify=susy.target
)
susy_vae = VAETransformer(2, random_state=0).fit(X_train)
LatentSpaceDisplay.from_estimator(susy_vae, X_test, y_test, target_names=susy.target_names)

# %%
# They are not: the two overlap. In numbers: how well does a logistic regression tell them apart by
# the codes, by as many principal components, and by all features?

embedders = {"raw features": StandardScaler()}
for latent_dim in (2, 8):
    embedders[f"PCA, {latent_dim} dimensions"] = make_pipeline(StandardScaler(), PCA(latent_dim))
    embedders[f"VAE, {latent_dim} dimensions"] = VAETransformer(latent_dim, random_state=0)
rows = {}
for name, embedder in embedders.items():
    classifier = make_pipeline(embedder, StandardScaler(), LogisticRegression())
    classifier.fit(X_train, y_train)
    rows[name] = {
        "accuracy": classifier.score(X_test, y_test),
        "AUC": roc_auc_score(y_test, classifier.decision_function(X_test)),
    }
rows["always the larger class"] = {
    "accuracy": max(np.mean(y_test), 1 - np.mean(y_test)),
    "AUC": 0.5,
}
print(pd.DataFrame.from_dict(rows, orient="index").round(3))

# %%
# Two dimensions keep little of what tells signal from background, whether they come from a VAE
# or from PCA, since neither knows that this is what matters. Eight keep most of it, but for
# this task the raw features are best.

plt.show()
# sphinx_gallery_thumbnail_path = "images/latent-space-mnist.png"
