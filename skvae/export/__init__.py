"""Export of fitted estimators, for prediction without Python or PyTorch.

The export requires onnx and onnxscript (extra ``onnx``). May import estimators, models,
likelihoods, serialization and utils.
"""

from ._onnx import to_onnx

__all__ = ["to_onnx"]
