"""
Outliers, and why
=================

A VAE has a density, so rows that are improbable under it can be called outliers. Its score is in
nats, and splits into what each feature contributes to it.
"""

# %%
# Tumours that are not benign
# ---------------------------
# The detector learns from benign tumours alone, half of them, and then meets the other half and
# all malignant ones, which it has never been told of. It standardises columns itself. By default
# it does not trust its training rows, and each step leaves out those that fit worst: here all are
# known to be benign, hence ``trim=0``.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import IsolationForest
from sklearn.metrics import RocCurveDisplay, roc_auc_score
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import VAEOutlierDetector
from skvae.datasets import fetch_mnist
from skvae.displays import ContributionsDisplay

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
benign, malignant = X[y == 1], X[y == 0]
train, test = benign[::2], benign[1::2]
rows = pd.concat([test, malignant])
is_malignant = y[rows.index] == 0

vae = VAEOutlierDetector(trim=0, random_state=0).fit(train)
detectors = {
    "VAE": vae,
    "isolation forest": IsolationForest(random_state=0).fit(train),
    "local outlier factor": make_pipeline(StandardScaler(), LocalOutlierFactor(novelty=True)).fit(
        train
    ),
}
_, ax = plt.subplots(layout="constrained")
for name, detector in detectors.items():
    scores = -detector.decision_function(rows)
    print(f"{name}: area under the ROC curve {roc_auc_score(is_malignant, scores):.3f}")
    RocCurveDisplay.from_predictions(is_malignant, scores, name=name, ax=ax)

# %%
# `predict` compares scores with `offset_`. At the default, it lies where a box plot of the training
# rows' scores would begin to draw single points. The model knows these rows too well, so among new
# rows more lie below it:

found = vae.predict(malignant) == -1
false = vae.predict(test) == -1
print(f"called outliers: {found.mean():.0%} of malignant, {false.mean():.0%} of benign tumours")

# %%
# Why?
# ----
# `explain` splits a score. Negative contributions are what speaks for an outlier: a feature that
# the model did not expect given the rest of the row, or a code far from those of other rows.
# Three malignant tumours, from the strangest to the least strange:

order = vae.score_samples(malignant).argsort()
ContributionsDisplay.from_estimator(
    vae, malignant.iloc[order[[0, len(order) // 2, -1]]], max_features=6
)

# %%
# Strange digits
# --------------
# The same on images, where training rows are not clean: the detector reads MNIST, and shows which
# of the test images it finds strangest, and which most usual.

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
