"""
Missing values
==============

A VAE that is fitted to what was observed fills in the rest: here pixels of digits, and entries of
a table, beside scikit-learn's imputers.
"""

# %%
# Half of the pixels
# ------------------
# Every pixel of scikit-learn's digits is missing with a probability of one half. No image is
# complete, and the imputers learn from these alone. Pixels in [0, 1] suit the Bernoulli
# likelihood.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.preprocessing import StandardScaler

from skvae import VAEImputer

X = load_digits().data / 16
rng = np.random.RandomState(0)
holes = np.where(rng.uniform(size=X.shape) < 0.5, np.nan, X)
imputers = {
    "mean": SimpleImputer(keep_empty_features=True),
    "neighbours": KNNImputer(keep_empty_features=True),
    "VAE": VAEImputer(16, likelihood="bernoulli", random_state=0),
}
filled = {name: imputer.fit_transform(holes) for name, imputer in imputers.items()}
missing = np.isnan(holes)
for name, values in filled.items():
    print(f"{name}: mean squared error {np.mean((values - X)[missing] ** 2):.4f}")

rows = {"original": X, "observed": holes, **filled}
_, axes = plt.subplots(len(rows), 10, figsize=(8, 4.2), layout="constrained")
for line, (name, images) in zip(axes, rows.items(), strict=True):
    line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    for ax, image in zip(line, images, strict=False):
        ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])

# %%
# How sure?
# ---------
# `transform` fills in the mean of what is missing given what was observed. `sample` draws from
# that distribution: where draws differ, the image leaves it open. One image, filled nine times:

draws = imputers["VAE"].sample(holes[:1], 9, random_state=0)[:, 0]
_, axes = plt.subplots(1, 10, figsize=(8, 1), layout="constrained")
for ax, image in zip(axes, [holes[0], *draws], strict=True):
    ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])

# %%
# A table
# -------
# Thirty measurements of tumours, most of which can be told from the others. Errors are in standard
# deviations of the columns. `IterativeImputer` predicts each column from all others by a ridge
# regression, in turn.

X = StandardScaler().fit_transform(load_breast_cancer().data)
errors = {}
for share in (0.1, 0.3, 0.5):
    holes = np.where(rng.uniform(size=X.shape) < share, np.nan, X)
    missing = np.isnan(holes)
    for name, imputer in {
        "mean": SimpleImputer(),
        "neighbours": KNNImputer(),
        "ridge regressions": IterativeImputer(max_iter=30, random_state=0),
        "VAE": VAEImputer(random_state=0),
    }.items():
        values = imputer.fit_transform(holes)
        errors[name, f"{share:.0%} missing"] = np.sqrt(np.mean((values - X)[missing] ** 2))
print(pd.Series(errors).unstack(sort=False).round(3))
plt.show()
