"""MNIST and Fashion-MNIST: different images in the same file format."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ..utils import check_choice
from ._common import make_bunch
from ._retrieve import DataFile, open_file, retrieve

# Images, then labels, of the training set and of the test set, with the sizes in bytes.
_SIZES = {
    "train-images-idx3-ubyte": 16 + 60_000 * 28 * 28,
    "train-labels-idx1-ubyte": 8 + 60_000,
    "t10k-images-idx3-ubyte": 16 + 10_000 * 28 * 28,
    "t10k-labels-idx1-ubyte": 8 + 10_000,
}
_SUBSETS = {"train": slice(0, 2), "test": slice(2, 4), "all": slice(0, 4)}


def _files(folder: str, mirrors: list[str], digests: list[str]) -> list[DataFile]:
    return [
        DataFile(folder, name, digest, tuple(f"{mirror}{name}.gz" for mirror in mirrors), size)
        for (name, size), digest in zip(_SIZES.items(), digests, strict=True)
    ]


FILES = {
    "mnist": _files(
        "mnist",
        mirrors=[
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ],
        digests=[
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ],
    ),
    "fashion-mnist": _files(
        "fashion-mnist",
        mirrors=[
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
            # The address of the bucket rather than of the web site, which has no https.
            "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
        ],
        digests=[
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ],
    ),
}
TARGET_NAMES = {
    "mnist": [str(digit) for digit in range(10)],
    "fashion-mnist": [
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ],
}


def fetch_mnist(
    *,
    subset: str = "train",
    raw: bool = False,
    data_home: str | os.PathLike[str] | None = None,
    download_if_missing: bool = True,
    as_frame: bool = False,
    return_X_y: bool = False,
) -> Any:
    """Load MNIST, 70,000 images of handwritten digits (classification).

    Missing files are downloaded.

    Parameters
    ----------
    subset : {"train", "test", "all"}, default="train"
        Images to load, in the official order: the 60,000 training images, the 10,000 test images,
        or the training images followed by the test images.
    raw : bool, default=False
        Whether to return pixels as integers from 0 to 255, as stored, instead of real numbers in
        [0, 1].
    data_home : str or path-like, default=None
        Folder to search first, and to download to. Files lie in the subfolder ``mnist``, compressed
        with gzip or not. `get_data_home` lists the other folders searched. A file with a wrong
        SHA-256 checksum is ignored, with a warning.
    download_if_missing : bool, default=True
        Whether to download files missing from this machine. If False, a missing file is an error.
    as_frame : bool, default=False
        Whether to return pandas objects instead of arrays. Requires pandas (extra ``data``).
    return_X_y : bool, default=False
        Whether to return ``(data, target)`` instead of a `Bunch`.

    Returns
    -------
    dataset : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with the following attributes:

        data : ndarray or DataFrame of shape (n_samples, 784)
            Pixels of each image, row by row, float32, or uint8 if `raw`. The background is 0.
        target : ndarray or Series of shape (n_samples,)
            Classes, int64 from 0 to 9.
        images : ndarray of shape (n_samples, 28, 28)
            The same pixels as images.
        feature_names : list of str
            Names of the pixels by row and column: ``"pixel_0_0"``, ``"pixel_0_1"``, ...
        target_names : list of str
            Names of the classes.
        frame : DataFrame of shape (n_samples, 785) or None
            Data and target together. None if `as_frame` is False.
        filename : list of str
            Paths of the files read.
        DESCR : str
            Description with source, licence and citation.

    (data, target) : tuple
        Returned instead of `dataset` if `return_X_y` is True.

    Raises
    ------
    ImportError
        If `as_frame` is True and pandas is not installed, or if pooch is needed for a download and
        not installed.
    OSError
        If a file is neither found nor downloaded. The message lists all attempts, and explains
        where to put the file.
    ValueError
        If `subset` is unknown.

    Examples
    --------
    >>> from skvae.datasets import fetch_mnist
    >>> mnist = fetch_mnist(subset="test")  # doctest: +SKIP
    >>> mnist.data.shape, mnist.data.dtype  # doctest: +SKIP
    ((10000, 784), dtype('float32'))
    >>> [mnist.target_names[i] for i in mnist.target[:5]]  # doctest: +SKIP
    ['7', '2', '1', '0', '4']
    """
    return _fetch("mnist", subset, raw, data_home, download_if_missing, as_frame, return_X_y)


def fetch_fashion_mnist(
    *,
    subset: str = "train",
    raw: bool = False,
    data_home: str | os.PathLike[str] | None = None,
    download_if_missing: bool = True,
    as_frame: bool = False,
    return_X_y: bool = False,
) -> Any:
    """Load Fashion-MNIST, 70,000 images of clothes (classification).

    Missing files are downloaded. The format is the format of MNIST, see `fetch_mnist`.

    Parameters
    ----------
    subset : {"train", "test", "all"}, default="train"
        Images to load, in the official order: the 60,000 training images, the 10,000 test images,
        or the training images followed by the test images.
    raw : bool, default=False
        Whether to return pixels as integers from 0 to 255, as stored, instead of real numbers in
        [0, 1].
    data_home : str or path-like, default=None
        Folder to search first, and to download to. Files lie in the subfolder ``fashion-mnist``,
        compressed with gzip or not. `get_data_home` lists the other folders searched. A file with
        a wrong SHA-256 checksum is ignored, with a warning.
    download_if_missing : bool, default=True
        Whether to download files missing from this machine. If False, a missing file is an error.
    as_frame : bool, default=False
        Whether to return pandas objects instead of arrays. Requires pandas (extra ``data``).
    return_X_y : bool, default=False
        Whether to return ``(data, target)`` instead of a `Bunch`.

    Returns
    -------
    dataset : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with the following attributes:

        data : ndarray or DataFrame of shape (n_samples, 784)
            Pixels of each image, row by row, float32, or uint8 if `raw`. The background is 0.
        target : ndarray or Series of shape (n_samples,)
            Classes, int64 from 0 to 9.
        images : ndarray of shape (n_samples, 28, 28)
            The same pixels as images.
        feature_names : list of str
            Names of the pixels by row and column: ``"pixel_0_0"``, ``"pixel_0_1"``, ...
        target_names : list of str
            Names of the classes: ``"T-shirt/top"``, ``"Trouser"``, ...
        frame : DataFrame of shape (n_samples, 785) or None
            Data and target together. None if `as_frame` is False.
        filename : list of str
            Paths of the files read.
        DESCR : str
            Description with source, licence and citation.

    (data, target) : tuple
        Returned instead of `dataset` if `return_X_y` is True.

    Raises
    ------
    ImportError
        If `as_frame` is True and pandas is not installed, or if pooch is needed for a download and
        not installed.
    OSError
        If a file is neither found nor downloaded. The message lists all attempts, and explains
        where to put the file.
    ValueError
        If `subset` is unknown.

    Examples
    --------
    >>> from skvae.datasets import fetch_fashion_mnist
    >>> fashion = fetch_fashion_mnist(subset="test")  # doctest: +SKIP
    >>> fashion.images.shape  # doctest: +SKIP
    (10000, 28, 28)
    >>> [fashion.target_names[i] for i in fashion.target[:3]]  # doctest: +SKIP
    ['Ankle boot', 'Pullover', 'Trouser']
    """
    return _fetch(
        "fashion-mnist", subset, raw, data_home, download_if_missing, as_frame, return_X_y
    )


def _fetch(
    dataset: str,
    subset: str,
    raw: bool,
    data_home: str | os.PathLike[str] | None,
    download_if_missing: bool,
    as_frame: bool,
    return_X_y: bool,
) -> Any:
    check_choice("subset", subset, _SUBSETS)
    paths = [
        retrieve(file, data_home, download_if_missing) for file in FILES[dataset][_SUBSETS[subset]]
    ]
    arrays = [_read_idx(path) for path in paths]
    images = np.concatenate(arrays[::2])  # (n, height, width)
    if not raw:
        images = np.divide(images, 255, dtype=np.float32)
    n_samples, height, width = images.shape
    return make_bunch(
        images.reshape(n_samples, height * width),
        np.concatenate(arrays[1::2]).astype(np.int64),
        feature_names=[f"pixel_{i}_{j}" for i in range(height) for j in range(width)],
        target_names=TARGET_NAMES[dataset],
        descr=f"{dataset}.rst",
        paths=paths,
        as_frame=as_frame,
        return_X_y=return_X_y,
        images=images,
    )


def _read_idx(path: Path) -> np.ndarray:
    """Return the bytes of an IDX file as an array of the shape given in the header."""
    with open_file(path) as stream:
        content = stream.read()
    # Header: two zeros, the type (8: bytes), the number of axes, and the length of each axis.
    n_axes = content[3]
    shape = np.frombuffer(content, ">u4", n_axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * n_axes).reshape(shape)
