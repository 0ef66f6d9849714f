"""
Reconstruction loss and KL divergence on Fashion-MNIST
======================================================

A third Keras tutorial trains on all 70,000 images of Fashion-MNIST, including the test images, and
records the reconstruction loss and the KL divergence separately. After ten epochs, the tutorial
reports a loss of 264.66, a reconstruction loss of 257.33 and a KL divergence of 7.03, as averaged
by the counters of the tutorial.
"""

# %%
# Ten epochs
# ----------
# The attribute ``history_`` always contains both terms. The loss is the sum of the two terms.

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
# The KL divergence increases while the loss decreases. The model learns to store more information
# about each image in the code, 6.6 nats (9.5 bits) in the last epoch, because each additional nat
# reduces the reconstruction loss by more than a nat.
#
# Clusters of clothes
# -------------------
# The plot shows the codes of all 70,000 images. Trousers, bags and ankle boots form separate
# clusters. Clothes for the upper body overlap.

LatentSpaceDisplay.from_estimator(
    vae, fashion.data, fashion.target, target_names=fashion.target_names
)

# %%
# The manifold
# ------------
# We decode a grid of 20 by 20 codes.

ManifoldDisplay.from_estimator(vae, n_steps=20, image_shape=(28, 28))

# %%
# Reconstructions
# ---------------
# Two numbers preserve the type and the brightness of a garment, but not the pattern.

ReconstructionDisplay.from_estimator(vae, fashion.data, image_shape=(28, 28))

plt.show()
# sphinx_gallery_thumbnail_path = "images/thumbnails/plot_03_fashion_mnist.png"
