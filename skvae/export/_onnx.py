"""Export to ONNX."""

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
from ..utils import __version__, import_optional
from ._operators import TRANSLATIONS, decompositions
from ._parts import PARTS, Part

if TYPE_CHECKING:
    import onnx_ir

_DTYPES = {"float32": torch.float32, "float64": torch.float64}
# What every runtime of recent years reads, and the exporter writes without converting.
_OPSET = 18
_ROWS = "n_samples"


def to_onnx(
    estimator: Any, path: str | os.PathLike[str], *, part: str = "encoder", dtype: str = "float32"
) -> None:
    """Write a part of a fitted estimator to an ONNX file.

    The file computes what a method of the estimator does, for any number of rows at once, without
    skvae, torch or Python. It checks nothing: values outside the likelihood's support get an
    answer without meaning.

    Parameters
    ----------
    estimator : VAETransformer, VAEOutlierDetector or VAEImputer
        Fitted, with a likelihood other than "mixed". It stays as it is.
    path : str or path-like
        Where to write. A file that is there is replaced, once the new one is complete.
    part : {"encoder", "decoder", "score"}, default="encoder"
        What to write:

        - "encoder": `encode`. Input ``X``, (n_samples, n_features) in the units of X, with NaN or
          `missing_values` for what is missing if the estimator is an imputer; outputs ``mean`` and
          ``std``, (n_samples, latent_dim).
        - "decoder": `inverse_transform`. Input ``Z``, (n_samples, latent_dim); output ``X_mean``,
          (n_samples, n_features), and by their names what the likelihood's
          `public_parameters` are, in the units of X: (n_samples, n_features), or without the axis
          of rows if they are the same in all. Of an imputer they leave out features without any
          entry in `fit`.
        - "score": `score_samples`. Input ``X``; output ``score``, (n_samples,), in nats. Of a
          detector also ``decision``, (n_samples,), which is `decision_function`: negative for
          outliers.
    dtype : {"float32", "float64"}, default="float32"
        Of inputs, outputs and what is between, as of the estimator's answers.

    Raises
    ------
    TypeError
        If the estimator is not one of those, or reads data frames of mixed columns.
    ValueError
        If a parameter is invalid, or if a network or likelihood of one's own does what ONNX
        cannot express.
    ImportError
        If onnx or onnxscript is missing, or too old for torch.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.

    Notes
    -----
    Metadata of the file are ``skvae_version``, ``estimator``, ``part``, ``likelihood`` and, if X
    had names of columns in `fit`, ``feature_names``, as JSON. The operators are those of opset 18.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skvae import VAETransformer
    >>> from skvae.export import to_onnx
    >>> vae = VAETransformer(max_iter=5, random_state=0).fit(load_wine().data)
    >>> to_onnx(vae, "encoder.onnx")  # doctest: +SKIP
    """
    for package in ("onnx", "onnxscript"):  # torch imports them
        import_optional(package, "to_onnx")
    import onnx_ir

    _check(estimator, part, dtype)
    module = as_dtype(copy.deepcopy(estimator.module_).cpu(), dtype)
    with _quietly():
        model = _model(PARTS[part](estimator, module).eval(), estimator, dtype)
    model.metadata_props.update(_metadata(estimator, part))
    content = onnx_ir.to_proto(model).SerializeToString()
    with replacing(path) as file:
        file.write(content)


def _check(estimator: Any, part: str, dtype: str) -> None:
    if not isinstance(estimator, BaseVAE):
        raise TypeError(
            f"to_onnx exports a fitted estimator of skvae; got {estimator!r}. Of a pipeline, "
            "export the step that is one."
        )
    for name, value, choices in (("part", part, PARTS), ("dtype", dtype, _DTYPES)):
        if value not in choices:
            raise ValueError(f"to_onnx({name}=...) must be one of {[*choices]}; got {value!r}.")
    check_is_fitted(estimator)
    if isinstance(estimator.module_.likelihood, Histogram):
        raise TypeError(
            f"This {type(estimator).__name__} reads data frames with columns of any type, and ONNX "
            "has none. Pickle it, or export a VAETransformer or VAEImputer that was fitted to "
            "numbers, with a likelihood of numbers."
        )


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep torch's exporter, which tells much of its own inside, from warnings and messages."""
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
def _model(part: Part, estimator: BaseVAE, dtype: str) -> onnx_ir.Model:
    """Return the part in the exporter's own form."""
    rows = torch.zeros(2, part.n_inputs, dtype=_DTYPES[dtype])
    try:
        program = torch.export.export(
            part, (rows,), dynamic_shapes=({0: torch.export.Dim(_ROWS)},), strict=False
        )
        exported = torch.onnx.export(
            program.run_decompositions(decompositions(dtype)),
            (rows,),
            input_names=[part.input_name],
            output_names=list(part.answers(rows)),
            opset_version=_OPSET,
            dynamo=True,
            verbose=False,
            # The optimiser takes factors within 1e-5 of one for one. Runtimes have their own.
            optimize=False,
            custom_translation_table=TRANSLATIONS if dtype == "float64" else None,
        )
    except Exception as error:
        first = _first(error)
        reason = str(first).strip().partition("\n")[0]
        if isinstance(first, ImportError):
            raise ImportError(
                f"This torch needs a later onnxscript: pip install -U onnxscript. ({reason})"
            ) from error
        raise ValueError(
            f"The {type(part).__name__.lower()} of this {type(estimator).__name__} cannot be "
            f"written as ONNX: {reason}\nNetworks and likelihoods of one's own must keep to what "
            "torch.export can trace and ONNX has operators for."
        ) from error
    assert exported is not None
    return _tidy(exported.model)


def _first(error: BaseException) -> BaseException:
    """Return what was raised first."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _tidy(model: onnx_ir.Model) -> onnx_ir.Model:
    """Take out what this part does not use, and notes of where the exporter ran."""
    from onnx_ir.passes import common
    from onnxscript import optimizer

    optimizer.fold_constants(model)
    common.RemoveUnusedNodesPass()(model)
    common.ClearMetadataAndDocStringPass()(model)
    for value in (*model.graph.inputs, *model.graph.outputs):
        if value.shape and not isinstance(value.shape[0], int):
            value.shape[0] = _ROWS
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
