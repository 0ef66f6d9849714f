"""Data sets that the examples, tests and benchmarks use, as loaders in the style of scikit-learn's.

A loader takes its files from the folder that `data_home` names, from the one that the environment
variable ``SKVAE_DATA`` names, or from the user's cache, and downloads what none of them holds.
`memmap_from_arrow` is for one's own data, in files of any size.
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
