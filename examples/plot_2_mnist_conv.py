"""
MNIST with a convolutional network
==================================

The second tutorial is a convolutional autoencoder for the same digits, with 32 and 64 filters, 16
dense units and two latent dimensions. With early stopping it reaches a validation loss of
151.7 after 14 epochs. Here a network needs one word and the shape of the image.
"""

# %%
# Training with early stopping
# ----------------------------
# `early_stopping` holds out a tenth of the training images, and `fit` ends with the weights of the
# epoch that served these best. The decoder mirrors the encoder: it has one stage less than the
# tutorial's.

import matplotlib.pyplot as plt

from skvae import VAETransformer
from skvae.datasets import fetch_mnist
from skvae.displays import (
    LatentSpaceDisplay,
    LossCurveDisplay,
    ManifoldDisplay,
    ReconstructionDisplay,
)

train, test = fetch_mnist(), fetch_mnist(subset="test")
vae = VAETransformer(
    2,
    likelihood="bernoulli",
    architecture="conv",
    image_shape=(28, 28),
    hidden_layer_sizes=(32, 64, 16),
    batch_size=100,
    max_iter=14,
    early_stopping=True,
    n_iter_no_change=5,
    n_importance_samples=1,
    random_state=0,
)
vae.fit(train.data)
print(f"epochs: {vae.n_iter_}")
print(f"loss of the test images: {-vae.score(test.data):.1f} nats per image (tutorial: 151.7)")

# %%
LossCurveDisplay.from_estimator(vae)

# %%
# The latent space
# ----------------

LatentSpaceDisplay.from_estimator(vae, test.data, test.target, target_names=test.target_names)

# %%
# The manifold, 15 by 15
# ----------------------
# The displays take the shape of the image from the estimator.

ManifoldDisplay.from_estimator(vae, n_steps=15)

# %%
# Reconstructions
# ---------------

ReconstructionDisplay.from_estimator(vae, test.data)

plt.show()
# sphinx_gallery_thumbnail_path = "images/manifold-mnist.png"
