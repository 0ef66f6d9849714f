"""Metrics for embeddings and for synthetic tables.

May import estimators, columns and utils.
"""

from ._associations import associations
from ._embeddings import compare_embeddings
from ._tables import column_distances, compare_tables

__all__ = ["associations", "column_distances", "compare_embeddings", "compare_tables"]
