"""
MNIST with a convolutional network
==================================

The second Keras tutorial trains a convolutional autoencoder on the same digits. The network has
convolutional layers with 32 and 64 filters, a dense layer with 16 units and two latent dimensions.
With early stopping, the tutorial reaches a validation loss of 151.7 after 14 epochs. In skvae, you
select a convolutional network with ``architecture="conv"`` and the shape of the images.
"""

# %%
# Training with early stopping
# ----------------------------
# With ``early_stopping=True``, `fit` holds out a tenth of the training images, and restores the
# weights of the epoch with the lowest validation loss. The decoder mirrors the encoder, and has one
# stage fewer than the decoder of the tutorial.

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
# The manifold
# ------------
# We decode a grid of 15 by 15 codes. The displays use the `image_shape` of the estimator.

ManifoldDisplay.from_estimator(vae, n_steps=15)

# %%
# Reconstructions
# ---------------
# The first row shows test images, the second row the reconstructions from two numbers per image.

ReconstructionDisplay.from_estimator(vae, test.data)

plt.show()
# sphinx_gallery_thumbnail_path = "images/thumbnails/plot_02_mnist_conv.png"
