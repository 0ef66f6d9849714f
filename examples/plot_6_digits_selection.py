"""
Pipelines, grid search and beta
===============================

A VAE is an estimator like any other: a step of a pipeline, tuned by cross-validation, and its own
scorer. All on scikit-learn's digits.
"""

# %%
# A classifier on codes
# ---------------------
# The encoder learns from images without labels; a logistic regression learns from its codes.

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer
from skvae.displays import ManifoldDisplay, SampleDisplay

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, test_size=0.25, random_state=0, stratify=y
)
vae = VAETransformer(8, likelihood="bernoulli", random_state=0)
for name, embedder in {"PCA": PCA(8), "VAE": vae}.items():
    classifier = make_pipeline(embedder, StandardScaler(), LogisticRegression())
    classifier.fit(X_train, y_train)
    print(f"{name}, 8 dimensions: accuracy {classifier.score(X_test, y_test):.3f}")

# %%
# How many dimensions? By the bound
# ---------------------------------
# `score` is a bound on log p(x) of held-out rows, so a grid search needs no scorer. It finds the
# model that describes the data best.

search = GridSearchCV(
    VAETransformer(likelihood="bernoulli", max_iter=30, random_state=0),
    {"latent_dim": [2, 4, 8, 16]},
    cv=3,
)
search.fit(X_train)
results = pd.DataFrame(search.cv_results_)
print(results[["param_latent_dim", "mean_test_score", "std_test_score"]].round(2))
print(f"best: {search.best_params_}, on the test rows {search.score(X_test):.2f}")

# %%
# What it has learned, one dimension at a time, and rows that it makes up. The displays look into
# searches and pipelines:

ManifoldDisplay.from_estimator(search, image_shape=(8, 8))

# %%
SampleDisplay.from_estimator(search, n_samples=64, image_shape=(8, 8), random_state=0)

# %%
# How many dimensions? By a task
# ------------------------------
# In a pipeline with a classifier, the same search asks another question: which codes serve the
# classifier best? Here more dimensions go on helping.

pipeline = make_pipeline(
    VAETransformer(likelihood="bernoulli", max_iter=30, random_state=0),
    KNeighborsClassifier(5),
)
search = GridSearchCV(pipeline, {"vaetransformer__latent_dim": [2, 4, 8]}, cv=3)
search.fit(X_train, y_train)
results = pd.DataFrame(search.cv_results_)
print(results[["param_vaetransformer__latent_dim", "mean_test_score"]].round(3))

# %%
# Choosing beta
# -------------
# `beta` weighs the KL term in training. The score is always at beta = 1, so that models compare;
# no wonder that it is best near there. Codes that keep more about each row, for neighbours or
# for a classifier, want a lower one.

betas = [0.03, 0.1, 0.3, 1, 3]
rows = {}
for beta in betas:
    vae = VAETransformer(8, likelihood="bernoulli", beta=beta, max_iter=30, random_state=0)
    vae.fit(X_train)
    neighbours = make_pipeline(vae, KNeighborsClassifier(5)).fit(X_train, y_train)
    rows[beta] = {
        "bound": vae.score(X_test),
        "reconstruction loss": vae.history_["reconstruction_loss"][-1],
        "KL": vae.history_["kl_loss"][-1],
        "active units": vae.history_["active_units"][-1],
        "5-NN accuracy": neighbours.score(X_test, y_test),
    }
table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("beta")
print(table.round(3))

figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
for ax, column in zip(axes, ["bound", "5-NN accuracy"], strict=True):
    ax.semilogx(table.index, table[column], "o-")
    ax.set(xlabel="beta", title=f"{column} of the test rows")

plt.show()
# sphinx_gallery_thumbnail_path = "images/beta.png"
