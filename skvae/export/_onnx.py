"""Export of estimators to ONNX."""

from __future__ import annotations

import copy
import io
import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import TYPE_CHECKING, Any

import torch
from sklearn.utils.validation import check_is_fitted

from ..estimators import BaseVAE, as_dtype
from ..likelihoods import Histogram
from ..serialization import replacing
from ..utils import __version__, check_choice, import_optional
from ._operators import TRANSLATIONS, decompositions
from ._parts import PARTS, Part

if TYPE_CHECKING:
    import onnx_ir

_DTYPES = {"float32": torch.float32, "float64": torch.float64}
# Supported by all recent runtimes, and written by the exporter without a conversion.
_OPSET = 18
_ROWS_DIM = "n_samples"


def to_onnx(
    estimator: Any, path: str | os.PathLike[str], *, part: str = "encoder", dtype: str = "float32"
) -> None:
    """Export a method of a fitted estimator to an ONNX file.

    The file computes the method for any number of rows, without skvae, torch or Python. Unlike the
    estimator, the exported graph does not validate the input: for values outside the support of the
    likelihood, the results are meaningless.

    Parameters
    ----------
    estimator : VAETransformer, VAEOutlierDetector or VAEImputer
        Fitted estimator with a likelihood other than "mixed". The estimator is not modified.
    path : str or path-like
        Path of the file to write. An existing file is replaced when the new file is complete.
    part : {"encoder", "decoder", "score"}, default="encoder"
        Method to export:

        - "encoder": the method `encode`. The input is ``X`` of shape (n_samples, n_features), in
          the units of X. For a `VAEImputer`, missing entries are NaN or `missing_values`. The
          outputs are ``mean`` and ``std``, of shape (n_samples, latent_dim).
        - "decoder": the method `inverse_transform`. The input is ``Z`` of shape
          (n_samples, latent_dim). The outputs are ``X_mean``, of shape (n_samples, n_features), and
          the parameters of the likelihood (`public_parameters`), in the units of X. The shape of a
          parameter is (n_samples, n_features), or without the first axis if the parameter is
          the same for all rows. For a `VAEImputer`, the outputs exclude features without any
          observed entry in `fit`. With condition columns, there is a second input
          ``conditions``, of shape (n_samples, n_conditions), in the order of `condition_columns`,
          and the outputs exclude the condition columns.
        - "score": the method `score_samples`. The input is ``X``, as for "encoder". The output is
          ``score``, of shape (n_samples,), in nats. For a `VAEOutlierDetector`, there is a second
          output ``decision``, of shape (n_samples,): the method `decision_function`, negative for
          outliers.
    dtype : {"float32", "float64"}, default="float32"
        Data type of the inputs, the outputs and the computation.

    Raises
    ------
    TypeError
        If the estimator has an unsupported type, or reads columns of any type, or if a condition
        column has categories that are not numbers.
    ValueError
        If a parameter is invalid, or if a custom network or likelihood, or the score of a
        `VAEImputer` with ``Gaussian("full")``, uses operations without an ONNX equivalent.
    ImportError
        If onnx or onnxscript is not installed, or too old for the installed torch.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.

    Notes
    -----
    The metadata of the file are ``skvae_version``, ``estimator``, ``part``, ``likelihood`` and, if
    `fit` saw column names, ``feature_names`` as JSON. The graph uses opset 18.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skvae import VAETransformer
    >>> from skvae.export import to_onnx
    >>> vae = VAETransformer(max_iter=5, random_state=0).fit(load_wine().data)
    >>> to_onnx(vae, "encoder.onnx")  # doctest: +SKIP
    """
    for package in ("onnx", "onnxscript"):  # imported by the exporter of torch
        import_optional(package, "to_onnx")
    import onnx_ir

    _check_arguments(estimator, part, dtype)
    module = as_dtype(copy.deepcopy(estimator.module_).cpu(), dtype)
    with _silence_exporter():
        model = _export(PARTS[part](estimator, module).eval(), estimator, dtype)
    model.metadata_props.update(_metadata(estimator, part))
    content = onnx_ir.to_proto(model).SerializeToString()
    with replacing(path) as file:
        file.write(content)


def _check_arguments(estimator: Any, part: str, dtype: str) -> None:
    if not isinstance(estimator, BaseVAE):
        raise TypeError(
            f"to_onnx requires a fitted estimator of skvae; got {estimator!r}. For a pipeline, "
            "export the step with the estimator of skvae."
        )
    check_choice("part", part, PARTS)
    check_choice("dtype", dtype, _DTYPES)
    check_is_fitted(estimator)
    conditions = estimator._reader.conditions
    coded = [] if conditions is None else [c.name for c in conditions.columns if c.has_codes]
    if coded:
        raise TypeError(
            f"The condition columns {coded} are no numbers, which ONNX does not support. Encode "
            "the columns as numbers, declare them 'categorical' in condition_columns, and fit "
            "again."
        )
    if isinstance(estimator.module_.likelihood, Histogram):
        kind = "with likelihood='mixed' " if hasattr(estimator, "likelihood") else ""
        raise TypeError(
            f"{type(estimator).__name__} {kind}reads columns of any type as bin numbers, which "
            "ONNX does not support. Pickle the estimator instead, or export a VAETransformer or "
            "VAEImputer fitted to numbers with a numeric likelihood."
        )
    module = estimator.module_
    if part == "score" and module.likelihood.is_correlated and module.config.missing:
        raise ValueError(
            f"The score of a VAEImputer with {module.likelihood} needs a matrix decomposition for "
            "each row, which ONNX does not have. Export the encoder or the decoder, or pickle the "
            "estimator."
        )


@contextmanager
def _silence_exporter() -> Iterator[None]:
    """Hide the warnings and log messages of torch's exporter, which concern its internals."""
    loggers = [logging.getLogger(f"torch.{package}") for package in ("export", "fx", "onnx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@torch.no_grad()
def _export(part: Part, estimator: BaseVAE, dtype: str) -> onnx_ir.Model:
    """Convert a part to an ONNX model in memory."""
    inputs = tuple(torch.zeros(2, width, dtype=_DTYPES[dtype]) for width in part.inputs.values())
    n_rows = torch.export.Dim(_ROWS_DIM)
    try:
        program = torch.export.export(
            part, inputs, dynamic_shapes=(tuple({0: n_rows} for _ in inputs),), strict=False
        )
        exported = torch.onnx.export(
            program.run_decompositions(decompositions(dtype)),
            inputs,
            input_names=list(part.inputs),
            output_names=list(part.outputs(*inputs)),
            opset_version=_OPSET,
            dynamo=True,
            verbose=False,
            # The optimizer of the exporter is inaccurate: it replaces factors within 1e-5 of 1 by
            # 1. Runtimes optimize the graph anyway.
            optimize=False,
            custom_translation_table=TRANSLATIONS if dtype == "float64" else None,
        )
    except Exception as error:
        cause = _root_cause(error)
        reason = str(cause).strip().partition("\n")[0]
        if isinstance(cause, ImportError):
            raise ImportError(
                "The installed onnxscript is too old for the installed torch. Install a newer "
                f"version of onnxscript. ({reason})"
            ) from error
        raise ValueError(
            f"The {type(part).__name__.lower()} of this {type(estimator).__name__} cannot be "
            f"exported to ONNX: {reason}\nCustom networks and likelihoods must only use operations "
            "supported by torch.export and ONNX."
        ) from error
    assert exported is not None
    return _clean_up(exported.model)


def _root_cause(error: BaseException) -> BaseException:
    """Return the first exception in a chain of causes."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _clean_up(model: onnx_ir.Model) -> onnx_ir.Model:
    """Remove unused nodes, and metadata with paths of the exporting machine."""
    from onnx_ir.passes import common
    from onnxscript import optimizer

    optimizer.fold_constants(model)
    common.RemoveUnusedNodesPass()(model)
    common.ClearMetadataAndDocStringPass()(model)
    for value in (*model.graph.inputs, *model.graph.outputs):
        if value.shape and not isinstance(value.shape[0], int):
            value.shape[0] = _ROWS_DIM
    return model


def _metadata(estimator: BaseVAE, part: str) -> dict[str, str]:
    metadata = {
        "skvae_version": __version__,
        "estimator": type(estimator).__name__,
        "part": part,
        "likelihood": repr(estimator.module_.likelihood),
    }
    if hasattr(estimator, "feature_names_in_"):
        metadata["feature_names"] = json.dumps(estimator.feature_names_in_.tolist())
    return metadata
