"""Embeddings of several methods side by side."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from skvae.displays import EmbeddingsDisplay


def test_each_embedding_has_its_own_axes(images, vae):
    X, y = images
    pca = PCA(2).fit(X)
    display = EmbeddingsDisplay.from_estimators(
        {"PCA": pca, "VAE": vae}, X, y, titles={"VAE": "ours"}
    )
    assert [ax.get_title() for ax in display.axes_] == ["PCA", "ours"]
    np.testing.assert_array_equal(display.codes["PCA"], pca.transform(X))
    assert [ax.get_legend() is not None for ax in display.axes_] == [False, True]
    assert all(ax.get_legend() is None for ax in display.plot(legend=False).axes_)
    colors = [ax.collections[0].get_facecolors() for ax in display.axes_]
    np.testing.assert_array_equal(*colors)


def test_bad_embeddings_are_errors():
    with pytest.raises(ValueError, match="at least one embedding"):
        EmbeddingsDisplay.from_codes({})
    with pytest.raises(ValueError, match=r"two columns; got the shapes {'b': \(3, 3\)}"):
        EmbeddingsDisplay.from_codes({"a": np.zeros((3, 2)), "b": np.zeros((3, 3))})
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        EmbeddingsDisplay.from_codes({"a": np.zeros((3, 2)), "b": np.zeros((4, 2))})
