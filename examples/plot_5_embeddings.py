"""
Next to PCA, t-SNE and UMAP
===========================

Four data sets in two dimensions: scikit-learn's digits, MNIST, Fashion-MNIST, and SUSY, simulated
collisions of particles. Which picture is best depends on what it is for. Where near neighbours in
two dimensions are all one wants, t-SNE and UMAP are better than a VAE. They are not generative:
they have no density and no samples, and t-SNE cannot even embed a new row.
"""

# %%
# Of each data set 6,000 rows, a third of them held out. PCA, UMAP and the VAE embed rows they have
# not seen; t-SNE cannot, and is given all rows at once, which flatters it
# (``out_of_sample`` is False). UMAP takes part if umap-learn is installed.

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
    EmbeddingsDisplay.from_codes(codes, labels, target_names=target_names, titles=titles)


# %%
# Digits
# ------
# 1,797 images of 8 by 8 pixels.

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
# 18 features on different scales, standardised for the methods that do not do it themselves.
# No method shows two clusters here: for how much codes tell of the classes, see the exercise in
# :ref:`sphx_glr_gallery_plot_1_mnist_mlp.py`.

susy = fetch_susy(subset="sample")
compare(StandardScaler().fit_transform(susy.data), susy.target, susy.target_names, "gaussian")

plt.show()
# sphinx_gallery_thumbnail_path = "images/embeddings-fashion-mnist.png"
