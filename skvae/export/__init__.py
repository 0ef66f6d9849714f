"""Fitted estimators for where there is no Python, or no torch.

This needs onnx and onnxscript, which come with ``pip install "skvae[onnx]"``.
"""

from ._onnx import to_onnx

__all__ = ["to_onnx"]
