"""What embeddings, and synthetic tables, are compared by."""

from ._embeddings import compare_embeddings

__all__ = ["compare_embeddings"]
