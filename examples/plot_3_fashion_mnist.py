"""
Fashion-MNIST, with the two losses apart
========================================

A third tutorial trains on all 70,000 images of Fashion-MNIST, training and test together, and
keeps track of the reconstruction loss and the KL divergence apart. After ten epochs it reports
264.66 = 257.33 + 7.03, as averaged by its own counters.
"""

# %%
# Ten epochs
# ----------
# ``history_`` always holds both terms. Their sum is the loss.

import matplotlib.pyplot as plt
import pandas as pd

from skvae import VAETransformer
from skvae.datasets import fetch_fashion_mnist
from skvae.displays import (
    LatentSpaceDisplay,
    LossCurveDisplay,
    ManifoldDisplay,
    ReconstructionDisplay,
)

fashion = fetch_fashion_mnist(subset="all")
vae = VAETransformer(2, likelihood="bernoulli", max_iter=10, random_state=0)
vae.fit(fashion.data)
history = pd.DataFrame(vae.history_)
history.index += 1
print(history[["loss", "reconstruction_loss", "kl_loss"]].rename_axis("epoch").round(2))

# %%
LossCurveDisplay.from_estimator(vae)

# %%
# The KL divergence rises while the loss falls: the model learns to say more about each image in
# its code, 6.6 nats or 9.5 bits, because each nat it spends there saves more in the
# reconstruction.
#
# Clusters with names
# -------------------
# All 70,000 images. Trousers, bags and ankle boots stand apart; what is worn on the upper
# body runs into each other.

LatentSpaceDisplay.from_estimator(
    vae, fashion.data, fashion.target, target_names=fashion.target_names
)

# %%
# The manifold
# ------------

ManifoldDisplay.from_estimator(vae, n_steps=20, image_shape=(28, 28))

# %%
# Reconstructions
# ---------------
# Two numbers keep the kind and the shade of a garment and lose its pattern.

ReconstructionDisplay.from_estimator(vae, fashion.data, image_shape=(28, 28))

plt.show()
# sphinx_gallery_thumbnail_path = "images/manifold-fashion-mnist.png"
