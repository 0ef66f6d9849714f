"""
Outlier detection with explanations
===================================

A VAE models the density of whole rows. A row with ordinary values in an unusual combination
therefore has a low score, where detectors of extreme values see nothing. The score, in nats, is a
sum of contributions of the features, and the contributions show which value is wrong.
"""

# %%
# Wrong entries in a table
# ------------------------
# The table has thirty measurements of each of 569 tumours. We train on half of the rows. In a copy
# of the other rows, we replace one measurement of each row with the same measurement of another
# tumour, which differs by at least a standard deviation. Each wrong value is the true value of some
# tumour, and only the combination of the values is impossible.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.covariance import EllipticEnvelope
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import IsolationForest
from sklearn.metrics import RocCurveDisplay, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import Gaussian, VAEOutlierDetector
from skvae.datasets import fetch_mnist
from skvae.displays import ContributionsDisplay

plt.style.use("tableau-colorblind10")
table = load_breast_cancer(as_frame=True).data


def with_wrong_values(rows, seed):
    """Return a copy of the rows with a wrong value in each, and the columns of the values."""
    rng = np.random.RandomState(seed)
    X, deviations = rows.to_numpy(), table.std().to_numpy()
    columns = rng.randint(X.shape[1], size=len(X))
    wrong = X.copy()
    for i, j in enumerate(columns):
        others = X[np.abs(X[:, j] - X[i, j]) > deviations[j], j]
        wrong[i, j] = rng.choice(others)
    return pd.DataFrame(wrong, index=rows.index, columns=rows.columns), columns


# %%
# All training rows are correct, so we set ``novelty=True``. Many measurements nearly determine each
# other, such as radius and area, which the noise of ``Gaussian("full")`` can describe. With the
# default likelihood, `~skvae.likelihoods.StudentT`, columns are independent given the code. We
# compare the detectors on five splits. An area under the ROC curve of 0.5 is the result of
# guessing, and 1 is best.


def compare(seed):
    """Return the labels, the scores of all detectors, the wrong rows and an explanation."""
    train, test = train_test_split(table, test_size=0.5, random_state=seed)
    wrong, columns = with_wrong_values(test, seed)
    rows, is_wrong = pd.concat([test, wrong]), np.repeat([0, 1], len(test))
    vae = VAEOutlierDetector(novelty=True, likelihood=Gaussian("full"), random_state=seed)
    detectors = {
        "VAE": vae,
        "VAE, default likelihood": VAEOutlierDetector(novelty=True, random_state=seed),
        "elliptic envelope": EllipticEnvelope(random_state=seed),
        "local outlier factor": make_pipeline(StandardScaler(), LocalOutlierFactor(novelty=True)),
        "isolation forest": IsolationForest(random_state=seed),
    }
    scores = {name: -d.fit(train).decision_function(rows) for name, d in detectors.items()}
    features, _ = vae.explain(wrong)
    is_named = features.to_numpy().argmin(axis=1) == columns
    return is_wrong, scores, vae, wrong, columns, is_named.mean()


splits = [compare(seed) for seed in range(5)]
areas = {
    f"split {seed}": {name: roc_auc_score(is_wrong, values) for name, values in scores.items()}
    for seed, (is_wrong, scores, *_) in enumerate(splits)
}
print("area under the ROC curve, higher is better")
print(pd.DataFrame(areas).assign(mean=lambda areas: areas.mean(axis=1)).round(3).to_string())

is_wrong, scores, vae, wrong, columns, _ = splits[0]
_, ax = plt.subplots(figsize=(6.4, 5.4), layout="constrained")
for name, values in scores.items():
    RocCurveDisplay.from_predictions(is_wrong, values, name=name, ax=ax)
ax.set(xlabel="fraction of correct rows flagged", ylabel="fraction of wrong rows flagged")

# %%
# Forests and neighbours hardly see the wrong values. The elliptic envelope, a normal distribution
# of the rows, sees linear relations between columns, and the VAE sees curved relations, too.
#
# Which value is wrong?
# ---------------------
# `explain` splits a score into contributions. Negative contributions are evidence for an outlier: a
# feature with an unexpected value given the other features, or a code far from the codes of other
# rows. The lowest of the thirty contributions belongs to the wrong value in most rows:

print(f"wrong value named: in {np.mean([named for *_, named in splits]):.0%} of the rows")

# %%
# The plot explains three wrong rows of the first split: the rows at the quartiles of the scores.
# Rows with a score below the offset are called outliers.

order = vae.score_samples(wrong).argsort()
shown = order[[len(order) // 4, len(order) // 2, 3 * len(order) // 4]]
print("wrong values:", ", ".join(table.columns[j] for j in columns[shown]))
ContributionsDisplay.from_estimator(vae, wrong.iloc[shown], max_features=6)

# %%
# Unusual digits
# --------------
# In this example, the training data may contain outliers. We fit a detector to MNIST, and plot the
# test images with the lowest scores (first row) and the highest scores (second row). The usual
# digits are all ones: a straight line is easier to predict than bold or broken strokes.

mnist, unseen = fetch_mnist(), fetch_mnist(subset="test")
vae = VAEOutlierDetector(16, likelihood="bernoulli", max_iter=5, random_state=0).fit(mnist.data)
order = vae.score_samples(unseen.data).argsort()
_, axes = plt.subplots(2, 10, figsize=(8, 2), layout="constrained")
for ax, image in zip(axes.ravel(), unseen.data[np.r_[order[:10], order[-10:]]], strict=True):
    ax.imshow(image.reshape(28, 28), cmap="gray_r")
    ax.set_axis_off()
axes[0, 0].set_title("strangest", fontsize=9)
axes[1, 0].set_title("most usual", fontsize=9)
plt.show()
# sphinx_gallery_thumbnail_path = "images/thumbnails/plot_07_outliers.png"
