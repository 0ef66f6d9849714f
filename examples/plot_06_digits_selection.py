"""
Pipelines, grid search and beta
===============================

The estimators of skvae work with pipelines and cross-validation. A grid search needs no additional
scorer, because `score` is a bound on the log-density. This example uses the digits of scikit-learn.
"""

# %%
# Classification of codes
# -----------------------
# The VAE is fitted to images without labels. A logistic regression classifies the codes.

import warnings

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer
from skvae.displays import ManifoldDisplay, SampleDisplay

plt.style.use("tableau-colorblind10")
warnings.filterwarnings("ignore", category=ConvergenceWarning)  # beta = 3 is too large
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
# Number of latent dimensions: selection by the bound
# ---------------------------------------------------
# By default, a grid search maximizes `score`, the bound on log p(x) of the held-out rows. The
# selected model describes the distribution of the data best.

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
# The displays also accept grid searches and pipelines. The first plot shows the effect of each
# latent dimension, the second plot shows generated images.

ManifoldDisplay.from_estimator(search, image_shape=(8, 8))

# %%
SampleDisplay.from_estimator(search, n_samples=64, image_shape=(8, 8), random_state=0)

# %%
# Number of latent dimensions: selection by a task
# ------------------------------------------------
# In a pipeline with a classifier, the grid search maximizes the accuracy of the classifier instead.
# Here, the accuracy increases up to the largest number of dimensions.

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
# The parameter `beta` is the weight of the KL term in training. The score always uses beta = 1, so
# that models with different `beta` are comparable. As expected, the score is highest near beta = 1.
# For nearest neighbours or a classifier, a lower `beta` is better, because the codes preserve more
# information about each row. With ``beta=3``, the codes carry hardly any information: no latent
# dimension is active.

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
for ax, (column, unit) in zip(
    axes, {"bound": "nats per row", "5-NN accuracy": "fraction"}.items(), strict=True
):
    ax.semilogx(table.index, table[column], "o-")
    ax.set_xticks(betas, map(str, betas))
    ax.set(xlabel="beta", ylabel=f"{unit}, higher is better", title=f"{column} of the test rows")

plt.show()
# sphinx_gallery_thumbnail_path = "images/thumbnails/plot_06_digits_selection.png"
