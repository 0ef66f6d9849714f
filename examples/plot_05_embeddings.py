"""
Comparison with PCA, t-SNE and UMAP
===================================

This example embeds four data sets in two dimensions: the digits of scikit-learn, MNIST,
Fashion-MNIST, and SUSY (simulated particle collisions). The best method depends on the purpose. If
you only need a plot with accurate neighbourhoods, t-SNE and UMAP are better than a VAE. However,
t-SNE and UMAP are not generative models: the methods provide neither a density nor samples, and
t-SNE cannot embed new rows.
"""

# %%
# We use 6,000 rows of each data set, and hold out a third. PCA, UMAP and the VAE embed new rows.
# t-SNE is fitted to all rows, including the held-out rows, so the metrics of t-SNE are optimistic
# (``out_of_sample`` is False). UMAP is included if umap-learn is installed.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer
from skvae.datasets import fetch_fashion_mnist, fetch_mnist, fetch_susy
from skvae.displays import EmbeddingsDisplay
from skvae.metrics import compare_embeddings


def embedders(likelihood):
    """Return the methods by name."""
    methods = {
        "PCA": PCA(2),
        "t-SNE": TSNE(2, random_state=0),
        "VAE": VAETransformer(2, likelihood=likelihood, random_state=0),
    }
    try:
        import umap
    except ImportError:
        return methods
    return methods | {"UMAP": umap.UMAP(random_state=0, n_jobs=1)}


def compare(X, y, target_names, likelihood="bernoulli"):
    """Print a table and draw the held-out rows."""
    chosen = np.random.RandomState(0).permutation(len(X))[:6000]
    table, codes, labels = compare_embeddings(
        embedders(likelihood),
        X[chosen],
        y[chosen],
        test_size=1 / 3,
        metrics=["trustworthiness", "knn_accuracy", "silhouette"],
        random_state=0,
        return_codes=True,
    )
    print(table.T.to_string(float_format="{:.3f}".format, na_rep="-"))
    titles = {
        name: f"{name}: 5-NN accuracy {accuracy:.3f}"
        for name, accuracy in table["knn_accuracy"].items()
    }
    display = EmbeddingsDisplay.from_codes(codes, labels, target_names=target_names, titles=titles)
    display.figure_.suptitle("held-out rows; accuracy: higher is better", fontsize="medium")


# %%
# Digits
# ------
# The digits of scikit-learn are 1,797 images of 8 by 8 pixels.

digits = load_digits()
compare(digits.data / 16, digits.target, digits.target_names)

# %%
# MNIST
# -----

mnist = fetch_mnist()
compare(mnist.data, mnist.target, mnist.target_names)

# %%
# Fashion-MNIST
# -------------

fashion = fetch_fashion_mnist()
compare(fashion.data, fashion.target, fashion.target_names)

# %%
# SUSY
# ----
# SUSY has 18 features on different scales. We standardise the features, because PCA, t-SNE and UMAP
# do not. No method separates the two classes into clusters. An exercise in
# :ref:`sphx_glr_gallery_plot_01_mnist_mlp.py` measures the information about the classes in the
# codes.

susy = fetch_susy(subset="sample")
compare(StandardScaler().fit_transform(susy.data), susy.target, susy.target_names, "gaussian")

plt.show()
# sphinx_gallery_thumbnail_path = "images/thumbnails/plot_05_embeddings.png"
