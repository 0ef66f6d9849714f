"""The module at the start of training: its units, and its initial weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Generator, Tensor

from ..models import (
    VAE,
    LinearDependence,
    VAEConfig,
    build_vae,
    confirm_dependence,
    find_dependence,
    scale_given_conditions,
    start_at_linear_model,
)
from ._batches import Rows, column_moments

# The linear model of more rows is the model of a random sample of the rows.
_MAX_ROWS = 10_000


def new_module(config: VAEConfig, rows: Rows, generator: Generator, *, trim: float = 0.0) -> VAE:
    """Return a module for training on rows, with units and initial weights that suit the rows.

    A module with a linear path starts at the optimal linear model of the rows.

    Parameters
    ----------
    config : VAEConfig
    rows : Rows
        Training rows.
    generator : torch.Generator
        Random generator of the CPU.
    trim : float, default=0.0
        Fraction of the rows that training leaves out.

    Raises
    ------
    TypeError, ValueError
        If the configuration is inconsistent, or if a variance of the rows overflows.
    """
    mean, var = column_moments(rows)
    if not config.has_linear_path:
        module = build_vae(config, generator)
        module.initialize(len(rows), mean, var)
    else:
        x = _sample(rows, generator)
        dependence = None
        if config.resolved_likelihood.standardize == "feature":
            dependence = _find_dependence(rows, x, mean, var, config.modelled)
        module = build_vae(replace(config, dependent_columns=dependence is not None), generator)
        module.initialize(len(rows), mean, var, dependence)
        if module.conditions is not None and module.units.scheme == "feature":
            scale_given_conditions(module, module.standardize(x, dtype=torch.float64))
        start_at_linear_model(module, module.standardize(x, dtype=torch.float64), trim=trim)
    if module.learns_prior:
        module.initialize_prior(module.standardize(_sample(rows, generator)), generator)
    return module


def _find_dependence(
    rows: Rows, sample: Tensor, mean: Tensor, var: Tensor, columns: list[int]
) -> LinearDependence | None:
    """Find columns among `columns` that are linear functions of others, in all rows."""
    sample, mean, var = sample[:, columns], mean[columns], var[columns]
    dependence = find_dependence(sample, var)
    if dependence is None or len(sample) == len(rows):
        return dependence
    chunks = (torch.from_numpy(chunk[:, columns].astype(np.float64)) for chunk in rows.chunks())
    return confirm_dependence(dependence, chunks, mean, var)


def _sample(rows: Rows, generator: Generator) -> Tensor:
    """Return all rows or a random sample of up to 10,000 rows, in float64 on the CPU."""
    if len(rows) <= _MAX_ROWS:
        x = rows.take(slice(0, len(rows)))
    else:
        # Draws with replacement take no memory in proportion to the rows.
        index = torch.randint(len(rows), (_MAX_ROWS,), generator=generator).unique()
        x = rows.take(index.numpy())  # in the order of the file
    return x.cpu().to(torch.float64)
