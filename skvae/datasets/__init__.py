"""Loaders for the data sets of the examples, tests and benchmarks, in the style of scikit-learn.

The loaders search the folder passed as `data_home`, then the folder named by the environment
variable ``SKVAE_DATA``, then the user's cache, and download missing files. To train on your own
files of any size, use `memmap_from_arrow`. May import serialization and utils.
"""

from ._adult import fetch_adult
from ._arrow import memmap_from_arrow
from ._mnist import fetch_fashion_mnist, fetch_mnist
from ._retrieve import get_data_home
from ._susy import fetch_susy

__all__ = [
    "fetch_adult",
    "fetch_fashion_mnist",
    "fetch_mnist",
    "fetch_susy",
    "get_data_home",
    "memmap_from_arrow",
]
