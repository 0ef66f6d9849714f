"""
Outlier detection with explanations
===================================

A VAE models the density of the data, so rows with a low density are outliers. The score of a row,
in nats, can be split into the contributions of the features and of the code.
"""

# %%
# Detection of malignant tumours
# ------------------------------
# We fit the detector to half of the benign tumours, and apply the detector to the other half and to
# all malignant tumours. The detector standardises the columns. By default, the detector assumes
# that the training data contain outliers, and each training step ignores the rows with the worst
# fit. Here, all training rows are known to be benign, so we set ``novelty=True``.

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

vae = VAEOutlierDetector(novelty=True, random_state=0).fit(train)
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
# `predict` compares the scores with the attribute `offset_`. By default, `offset_` is the lower
# whisker limit of a box plot of the training scores. The model fits the training rows better than
# new rows, so more new benign tumours than training rows lie below `offset_`.

found = vae.predict(malignant) == -1
false = vae.predict(test) == -1
print(f"called outliers: {found.mean():.0%} of malignant, {false.mean():.0%} of benign tumours")

# %%
# Explanation of outliers
# -----------------------
# `explain` splits a score into contributions. Negative contributions are evidence for an outlier: a
# feature with an unexpected value given the other features, or a code far from the codes of other
# rows. The plot explains three malignant tumours with the lowest, the median and the highest score.

order = vae.score_samples(malignant).argsort()
ContributionsDisplay.from_estimator(
    vae, malignant.iloc[order[[0, len(order) // 2, -1]]], max_features=6
)

# %%
# Unusual digits
# --------------
# In this example, the training data may contain outliers. We fit a detector to MNIST, and plot the
# test images with the lowest scores (first row) and the highest scores (second row).

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
