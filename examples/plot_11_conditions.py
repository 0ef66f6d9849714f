"""
Conditional models
==================

Condition columns are given rather than modelled. A VAE of digits that is given the class separates
style from class: the codes describe the style. A VAE of counts that is given the batch has codes
without a batch effect.
"""

# %%
# Digits given the class
# ----------------------
# The labels are the last column of X, and the model is given the labels.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from skvae import VAETransformer, datasets
from skvae.displays import LatentSpaceDisplay, SampleDisplay

mnist = datasets.fetch_mnist(subset="test")
X = np.column_stack([mnist.data, mnist.target.astype(np.float32)])
vae = VAETransformer(
    16,
    likelihood="bernoulli",
    condition_columns={784: "categorical"},
    hidden_layer_sizes=(256, 128),
    image_shape=(28, 28),
    max_iter=40,
    random_state=0,
).fit(X)

# %%
# Each row of the figure has the style of one image, and each column a class. The first column shows
# the image.

n_styles = 8
Z = np.repeat(vae.transform(X[:n_styles]), 10, axis=0)
classes = np.tile(np.arange(10), n_styles)
decoded = vae.inverse_transform(Z, conditions={784: classes}).reshape(n_styles, 10, 28, 28)
images = np.concatenate([mnist.data[:n_styles].reshape(-1, 1, 28, 28), decoded], axis=1)
figure, ax = plt.subplots(figsize=(7, 5), layout="constrained")
ax.imshow(images.swapaxes(1, 2).reshape(n_styles * 28, 11 * 28), cmap="gray_r")
ax.axvline(27.5, color="black", linewidth=0.8)
ax.set_xticks(14 + 28 * np.arange(11), ["image", *map(str, range(10))])
ax.set(xlabel="class", ylabel="style", yticks=[])

# %%
# New digits of a class need no rejection.

SampleDisplay.from_estimator(vae, n_samples=100, conditions={784: 3}, random_state=0)

# %%
# Counts without a batch effect
# -----------------------------
# Cells of four types, which vary within a type, are measured in three batches. The rates of genes
# differ between batches, and the total count differs between cells. The likelihood of the counts is
# `~skvae.likelihoods.NegativeBinomial`. The model is given the batch, and the total count as the
# exposure, a factor of all rates.

rng = np.random.RandomState(0)
n_cells, n_genes = 2000, 100
cell_type, batch = rng.randint(4, size=n_cells), rng.randint(3, size=n_cells)
effects = 0.7 * (rng.normal(size=(4, n_genes))[cell_type] + rng.normal(size=(3, n_genes))[batch])
state = 0.3 * rng.normal(size=(n_cells, 2)) @ rng.normal(size=(2, n_genes))
rates = np.exp(rng.normal(size=n_genes) + effects + state)
total = np.exp(rng.normal(8, 0.5, n_cells)).round()
counts = rng.poisson(total[:, None] * rates / rates.sum(axis=1, keepdims=True))

codes = {
    "counts": VAETransformer(2, likelihood="negative_binomial", random_state=0).fit_transform(
        counts
    ),
    "counts given batch and total": VAETransformer(
        2,
        likelihood="negative_binomial",
        condition_columns={n_genes: "categorical", n_genes + 1: "exposure"},
        random_state=0,
    ).fit_transform(np.column_stack([counts, batch, total])),
}
figure, axes = plt.subplots(2, 2, figsize=(9, 8), layout="constrained")
for (title, Z), row in zip(codes.items(), axes, strict=True):
    for ax, (name, labels) in zip(row, {"type": cell_type, "batch": batch}.items(), strict=True):
        accuracy = cross_val_score(KNeighborsClassifier(5), Z, labels).mean()
        names = [f"{name} {i + 1}" for i in range(labels.max() + 1)]
        LatentSpaceDisplay.from_codes(Z, labels, target_names=names, ax=ax)
        ax.set_title(f"{title}\nby {name}: 5-NN accuracy {accuracy:.2f}", fontsize=9)

# %%
# Next: :doc:`../user_guide/conditions`

# sphinx_gallery_thumbnail_path = "images/thumbnails/plot_11_conditions.png"
