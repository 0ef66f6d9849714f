"""
MNIST with a multilayer perceptron
==================================

A classic Keras tutorial trains a variational autoencoder on the 60,000 handwritten digits of MNIST.
The network has a hidden layer of 256 units and two latent dimensions. The tutorial reports a
validation loss of 165.8 after three epochs. This example reproduces the tutorial with skvae, and
then solves the three exercises.
"""

# %%
# The data
# --------
# Pixels lie in [0, 1], so we use the likelihood `~skvae.likelihoods.Bernoulli`. The log-density is
# the negative binary cross-entropy of Keras, summed over the pixels.

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
# We use the network and the batch size of the tutorial. Keras estimates the loss with a single draw
# from the posterior per row. With ``n_importance_samples=1``, `score` does the same. The score is
# the lower bound, hence the loss is the negative score.

mnist_params = {"likelihood": "bernoulli", "hidden_layer_sizes": (256,), "batch_size": 100}
vae = VAETransformer(2, max_iter=3, n_importance_samples=1, random_state=0, **mnist_params)
vae.fit(train.data)
print(f"loss of the test images: {-vae.score(test.data):.1f} nats per image (tutorial: 165.8)")

# %%
# Twenty epochs and the loss curve
# --------------------------------
# With ``early_stopping=True``, `fit` holds out a tenth of the rows and monitors their loss.
# The attribute ``history_`` contains the metrics of each epoch.

vae = VAETransformer(2, max_iter=20, early_stopping=True, random_state=0, **mnist_params)
vae.fit(train.data)
history = pd.DataFrame(vae.history_).rename_axis("epoch")
print(history[::5].round(2).T)

# %%
LossCurveDisplay.from_estimator(vae)

# %%
# The latent space
# ----------------
# Each point is the posterior mean of a test image. The colour shows the class.

Z_test = vae.transform(test.data)
LatentSpaceDisplay.from_codes(Z_test, test.target, target_names=test.target_names)

# %%
# Next, we compare test images with the reconstructions from only two numbers per image.

ReconstructionDisplay.from_estimator(vae, test.data, image_shape=(28, 28))

# %%
# The manifold
# ------------
# We decode a grid of codes, first with equal steps of z.

ManifoldDisplay.from_estimator(vae, kind="linear", coverage=0.997, n_steps=20, image_shape=(28, 28))

# %%
# Alternatively, the steps have equal prior probability, by the inverse of the distribution function
# of the prior. Then each image represents an equal fraction of the generated images.

ManifoldDisplay.from_estimator(vae, kind="quantile", n_steps=20, image_shape=(28, 28))

# %%
# Exercise 1: the standard deviation of the prior
# -----------------------------------------------
# The standard deviation of the prior only changes the scale of the codes. A prior with a ten times
# larger standard deviation is the same model in other units, because the encoder and the decoder
# work on codes divided by ``prior_std``.

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
# With more latent dimensions, the samples become sharper and the bound increases. The number of
# active units in ``history_`` shows that the model uses all latent dimensions.

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
# Codes with sixteen dimensions must be projected to two dimensions. Because of the KL term, the
# codes have about the same variance in each direction, so two principal components show only a
# small part of the structure. t-SNE, applied to 5,000 codes, reveals separate classes.

figure, axes = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
Z_test = wider.transform(test.data)
for projection, ax in zip(("pca", "tsne"), axes, strict=True):
    LatentSpaceDisplay.from_codes(
        Z_test, test.target, projection=projection, ax=ax, legend=ax is axes[-1]
    )

# %%
# Exercise 3: separation of supersymmetric events
# -----------------------------------------------
# SUSY contains simulated particle collisions with 8 features measured by detectors, and 10 features
# derived by physicists. We fit a VAE to half of the rows, without the labels.

susy = fetch_susy(subset="sample")
X_train, X_test, y_train, y_test = train_test_split(
    susy.data, susy.target, test_size=0.5, random_state=0, stratify=susy.target
)
susy_vae = VAETransformer(2, random_state=0).fit(X_train)
LatentSpaceDisplay.from_estimator(susy_vae, X_test, y_test, target_names=susy.target_names)

# %%
# Signal and background overlap in the latent space. To quantify the overlap, we train a logistic
# regression on the codes, on the same number of principal components, and on all features.

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
# Two dimensions preserve little of the information about the class. This holds for the VAE and for
# PCA, because both are fitted without labels. Eight dimensions preserve most of the information.
# For classification, however, the raw features are best.

plt.show()
# sphinx_gallery_thumbnail_path = "images/thumbnails/plot_01_mnist_mlp.png"
