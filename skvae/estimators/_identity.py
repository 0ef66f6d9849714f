"""What a fit is: compared with the fit of a checkpoint, and between processes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import torch

from ..serialization import digest_of
from ..training import Checkpoint, RunIdentity, Trainer, identify_run
from ..utils import __version__, resolve_device

if TYPE_CHECKING:
    from ._base import BaseVAE


def identify_fit(estimator: BaseVAE, rows: Any, *, resume: bool) -> RunIdentity:
    """Return the identity of a fit: everything that determines the trained model.

    Parameters
    ----------
    estimator : BaseVAE
    rows : ndarray, memmap or CSR matrix of shape (n_samples, n_observed)
        X as the reader returned it.
    resume : bool
        Whether training continues from the fitted model.
    """
    reader: Any = estimator._reader
    try:
        columns: Any = digest_of(reader)
    except (TypeError, ValueError):  # files support fewer types of values than fits
        columns = reader
    names = getattr(estimator, "feature_names_in_", None)
    fitted = None
    if resume:
        fitted = [estimator.module_.config, estimator.module_.state_dict()]
    return identify_run(
        type(estimator),
        estimator._training_params(),
        estimator.random_state,
        rows,
        [columns, names],
        fitted,
    )


def identify_process(estimator: BaseVAE, method: str, trainer: Trainer | None) -> dict[str, str]:
    """Return what the processes of one run must share, in addition to the identity of the fit."""
    checkpoint = estimator.checkpoint
    if checkpoint is not None and not isinstance(checkpoint, Checkpoint):
        checkpoint = Checkpoint(checkpoint)
    if checkpoint is not None:
        interval = f"epochs={checkpoint.epochs}, seconds={checkpoint.seconds}"
        checkpoint = f"{os.fspath(checkpoint.path)!r}, {interval}"
    return {
        "the method": method,
        "checkpoint": str(checkpoint),
        "the type of device": resolve_device(estimator.device).type,
        "the state of the optimizer": "" if trainer is None else digest_of(trainer.state_dict()),
        "the version of skvae": __version__,
        "the version of torch": str(torch.__version__),
    }
