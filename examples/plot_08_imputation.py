"""
Imputation of missing values
============================

`VAEImputer` fits a VAE to the observed entries and imputes the missing entries. This example
compares `VAEImputer` with the imputers of scikit-learn, for images of digits and for a table.
"""

# %%
# Images with missing pixels
# --------------------------
# Each pixel of the digits is missing with probability 0.5. No image is complete, and the imputers
# are fitted to the incomplete images. Pixels lie in [0, 1], so we use the likelihood
# `~skvae.likelihoods.Bernoulli`. In the plots, missing pixels are blue.

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.preprocessing import StandardScaler

from skvae import VAEImputer

plt.style.use("tableau-colorblind10")
warnings.filterwarnings("ignore", category=ConvergenceWarning)  # some fits end at max_iter
X = load_digits().data / 16
rng = np.random.RandomState(0)
X_missing = np.where(rng.uniform(size=X.shape) < 0.5, np.nan, X)
imputers = {
    "mean": SimpleImputer(keep_empty_features=True),
    "neighbours": KNNImputer(keep_empty_features=True),
    "VAE": VAEImputer(16, likelihood="bernoulli", random_state=0),
}
filled = {name: imputer.fit_transform(X_missing) for name, imputer in imputers.items()}
missing = np.isnan(X_missing)
for name, values in filled.items():
    print(f"{name}: mean squared error {np.mean((values - X)[missing] ** 2):.4f}")

rows = {"original": X, "observed": X_missing, **filled}
_, axes = plt.subplots(len(rows), 10, figsize=(8, 4.2), layout="constrained")
for line, (name, images) in zip(axes, rows.items(), strict=True):
    line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    for ax, image in zip(line, images, strict=False):
        ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[], facecolor="lightsteelblue")

# %%
# Multiple imputation
# -------------------
# `transform` imputes the mean of the missing entries given the observed entries.
# `sample_imputations` draws from the distribution of the missing entries instead. Where the draws
# differ, the observed pixels do not determine the missing pixels. The plot shows an incomplete
# image, followed by nine imputations.

draws = imputers["VAE"].sample_imputations(X_missing[:1], 9, random_state=0)[:, 0]
_, axes = plt.subplots(1, 10, figsize=(8, 1), layout="constrained")
for ax, image in zip(axes, [X_missing[0], *draws], strict=True):
    ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[], facecolor="lightsteelblue")

# %%
# A table with missing entries
# ----------------------------
# The table has thirty measurements of tumours. Most measurements can be predicted from the other
# measurements. The errors are root mean squared errors in units of the standard deviations of the
# columns. `IterativeImputer` predicts each column from all other columns by ridge regression.

X = StandardScaler().fit_transform(load_breast_cancer().data)
errors = {}
for fraction in (0.1, 0.3, 0.5):
    X_missing = np.where(rng.uniform(size=X.shape) < fraction, np.nan, X)
    missing = np.isnan(X_missing)
    for name, imputer in {
        "mean": SimpleImputer(),
        "neighbours": KNNImputer(),
        "ridge regressions": IterativeImputer(max_iter=30, random_state=0),
        "VAE": VAEImputer(random_state=0),
    }.items():
        values = imputer.fit_transform(X_missing)
        errors[name, fraction] = np.sqrt(np.mean((values - X)[missing] ** 2))
table = pd.Series(errors).unstack(sort=False).rename_axis(columns="fraction missing")
print(table.round(3))

ax = table.T.plot(style="o-", figsize=(6, 4), ylim=(0, None))
ax.set(ylabel="root mean squared error, lower is better", xticks=table.columns)
ax.figure.tight_layout()
plt.show()
# sphinx_gallery_thumbnail_path = "images/thumbnails/plot_08_imputation.png"
