"""`TabularVAE`: tables with columns of any type, to codes and back, and new ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from sklearn.utils import check_scalar
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from ..likelihoods import Histogram, Likelihood
from ..models import AutoregressiveVAE, VAEConfig
from ..utils import (
    draw_seed,
    init_threads,
    limit_threads,
    local_random_state,
    seeded_generator,
)
from ._imputation import columns_package
from ._inference import as_dtype, in_chunks
from ._transformer import VAETransformer

if TYPE_CHECKING:
    from ..columns import FrameCodec

# Of rows in a round of rejection sampling, and of such rounds.
_MIN_DRAWS = 2000
_MAX_ROUNDS = 500


class TabularVAE(VAETransformer):
    """Mixed-type tables to codes and back, and synthetic rows.

    A variational autoencoder for data frames as they are: with columns of numbers, integers, truth
    values, categories, strings, ordered categories, points in time and durations, and with missing
    values. What it gives back has the same columns, dtypes, categories and ranges.

    Each column is cut into cells: the values of categories, and for numbers, intervals between
    quantiles and single values that occur often. The decoder says how probable they are, so a
    column may be skewed, bounded, inflated at zero or have any number of modes. Missing values are
    a cell of their own.

    Columns are drawn one after the other, each given the code and the columns before it.

    Parameters
    ----------
    latent_dim : int, default=16
        Dimension of z.
    column_types : dict, default=None
        Kinds of columns, by name, where dtypes do not say what is meant: "numeric",
        "categorical" or "ordinal". For an array as X, names are the numbers of columns.
    autoregressive : bool, default=True
        Whether each column depends on the columns before it, besides the code. Encoder and decoder
        learn the same in either case. If not, columns are independent given the code, and synthetic
        rows agree less well in themselves.
    max_iter : int, default=40
        Number of epochs.
    hidden_layer_sizes, activation, beta, kl_warmup, prior_std, solver, learning_rate, \
learning_rate_init, batch_size, early_stopping, validation_fraction, n_iter_no_change, tol, \
n_importance_samples, warm_start, checkpoint, on_interrupt, verbose, random_state, device, precision
        As for `VAETransformer`.

    Attributes
    ----------
    n_features_in_, feature_names_in_, n_iter_, history_, loss_curve_, device_, module_
        As for `VAETransformer`.

    See Also
    --------
    VAETransformer : For numbers alone, without missing values.

    Notes
    -----
    Log-densities are with respect to the unit of X for numbers (rounded ones too: their
    probability is divided by the distance to the next), and probabilities for categories, missing
    values, and for values that occur often in a column of numbers that is not rounded.

    Every value has a positive density. Numbers beyond those that training saw, and categories that
    it did not see, share the probability of about one training row. None of them is ever drawn.

    References
    ----------
    Kingma and Welling, "Auto-encoding variational Bayes", ICLR 2014.

    Larochelle and Murray, "The neural autoregressive distribution estimator", AISTATS 2011.

    Xu et al., "Modeling tabular data using conditional GAN", NeurIPS 2019, for the task and TVAE.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.datasets import load_iris
    >>> from skvae import TabularVAE
    >>> iris = load_iris(as_frame=True)
    >>> X = iris.data.assign(species=iris.target_names[iris.target])
    >>> vae = TabularVAE(latent_dim=4, max_iter=20, random_state=0).fit(X)
    >>> vae.transform(X).shape
    (150, 4)
    >>> X_new = vae.sample(100, conditions={"species": "setosa"}, random_state=0)
    >>> X_new.shape, list(X_new["species"].unique())
    ((100, 5), ['setosa'])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **{
            name: constraint
            for name, constraint in VAETransformer._parameter_constraints.items()
            if name not in ("architecture", "image_shape", "likelihood")
        },
        "column_types": [dict, None],
        "autoregressive": ["boolean"],
    }
    _takes_missing: ClassVar[bool] = True
    _module_class = AutoregressiveVAE

    module_: AutoregressiveVAE
    _codec: FrameCodec
    _gives_frames: bool

    def __init__(
        self,
        latent_dim: int = 16,
        *,
        column_types: Mapping[Any, str] | None = None,
        autoregressive: bool = True,
        hidden_layer_sizes: Any = "auto",
        activation: str = "gelu",
        beta: float = 1.0,
        kl_warmup: float = 0.0,
        prior_std: float = 1.0,
        solver: str = "adam",
        learning_rate: str = "cosine",
        learning_rate_init: Any = "auto",
        batch_size: Any = "auto",
        max_iter: int = 40,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        n_importance_samples: int = 16,
        warm_start: bool = False,
        checkpoint: Any = None,
        on_interrupt: str = "keep",
        verbose: int = 0,
        random_state: Any = None,
        device: str | torch.device = "auto",
        precision: str = "auto",
    ) -> None:
        super().__init__(
            latent_dim,
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            beta=beta,
            kl_warmup=kl_warmup,
            prior_std=prior_std,
            solver=solver,
            learning_rate=learning_rate,
            learning_rate_init=learning_rate_init,
            batch_size=batch_size,
            max_iter=max_iter,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            n_importance_samples=n_importance_samples,
            warm_start=warm_start,
            checkpoint=checkpoint,
            on_interrupt=on_interrupt,
            verbose=verbose,
            random_state=random_state,
            device=device,
            precision=precision,
        )
        self.column_types = column_types
        self.autoregressive = autoregressive

    def inverse_transform(self, Z: Any) -> Any:
        """Return what the decoder makes of codes.

        Parameters
        ----------
        Z : array-like of shape (n_samples, latent_dim)
            Codes, such as `transform` returns.

        Returns
        -------
        X : DataFrame, or ndarray if `fit` had one, of shape (n_samples, n_features)
            In each column the most probable category, or the median of what is in order, given
            the code and the columns before.
        """
        return self._table(super().inverse_transform(Z))

    def reconstruct(self, X: Any) -> Any:
        """Return what the decoder makes of each row's posterior mean.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        X_mean : DataFrame, or ndarray if `fit` had one, of shape (n_samples, n_features)
            As `inverse_transform` of `transform`, with the index of X.
        """
        table = self._table(super().reconstruct(X))
        return table.set_axis(X.index) if self._gives_frames and hasattr(X, "iloc") else table

    def sample(  # type: ignore[override]
        self,
        n_samples: int = 1,
        *,
        conditions: Mapping[Any, Any] | None = None,
        random_state: Any = None,
    ) -> Any:
        """Draw new rows from the model.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        conditions : mapping, default=None
            For names of columns, what all rows have there: a value, a list of values, or for
            numbers and times a `pandas.Interval`. NaN or None stands for a missing value. Rows are
            drawn and kept by rejection sampling, whose bound is the largest probability met
            (Caffo, Booth and Davis, "Empirical supremum rejection sampling", Biometrika 89, 2002),
            so what is rare takes long.
        random_state : int, RandomState instance or None, default=None
            Determines the draws.

        Returns
        -------
        X : DataFrame, or ndarray if `fit` had one, of shape (n_samples, n_features)
            Values that training saw, and numbers between them.

        Raises
        ------
        ValueError
            If a condition is on an unknown column, if no value that training saw satisfies it, or
            if all conditions together are too rare.
        """
        check_is_fitted(self)
        if not isinstance(conditions, Mapping | None):
            raise TypeError(f"conditions must map names of columns to values; got {conditions!r}.")
        rng = local_random_state(random_state)
        if not conditions:
            cells = super().sample(n_samples, random_state=rng)
            return self._table(cells, rng.uniform(size=cells.shape))
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        return self._sample_where(n_samples, conditions, rng)

    def _sample_where(
        self, n_samples: int, conditions: Mapping[Any, Any], rng: np.random.RandomState
    ) -> Any:
        parts = self._codec.allowed_ranges(conditions)
        allowed = {j: torch.tensor(part[:, 1] - part[:, 0]) for j, part in parts.items()}
        module = as_dtype(self.module_, self._dtype)
        generator = seeded_generator(draw_seed(rng), module.bias.device)
        n_drawn = max(n_samples, _MIN_DRAWS)

        def draw(chunk: slice) -> Tensor:
            z = module.sample_prior(chunk.stop - chunk.start, generator)
            cells, log_p = module.sample_where(z, allowed, generator)
            return torch.cat([cells, log_p.unsqueeze(-1)], -1)

        kept, n_kept, bound = [], 0, -math.inf
        for _ in range(_MAX_ROUNDS):
            with limit_threads(module, n_drawn):
                drawn = in_chunks(draw, n_drawn, row_size=module.max_width, dtype=self._dtype)
            cells, log_p = drawn[:, :-1], drawn[:, -1]
            bound = max(bound, log_p.max())
            if bound == -math.inf:
                continue
            cells = cells[np.log(rng.uniform(size=n_drawn)) < log_p - bound]
            positions = self._codec.sample_positions(cells, parts, rng)
            satisfied = self._codec.satisfies(self._codec.decode(cells, positions), conditions)
            kept.append((cells[satisfied], positions[satisfied]))
            n_kept += int(satisfied.sum())
            if n_kept >= n_samples:
                cells, positions = (np.concatenate(p)[:n_samples] for p in zip(*kept, strict=True))
                return self._table(cells, positions)
        raise ValueError(
            f"Only {n_kept} of the {n_samples} rows satisfy {conditions!r} after "
            f"{_MAX_ROUNDS * n_drawn} draws. Ask for fewer rows or for less."
        )

    def _table(self, cells: np.ndarray, positions: np.ndarray | None = None) -> Any:
        """Return values in the form that X of `fit` had."""
        table = self._codec.decode(cells, positions)
        return table if self._gives_frames else table.to_numpy()

    def _validate(self, X: Any, *, reset: bool) -> np.ndarray:
        """Return the numbers of cells, (n, n_features)."""
        init_threads()
        columns = columns_package()
        frame = columns.as_frame(X, self)
        validate_data(self, X, reset=reset, skip_check_array=True)
        if reset:
            self._codec = columns.FrameCodec(frame, self.column_types or {})
            self._gives_frames = frame is X
            self._dtype = "float64"
        return self._codec.encode(frame)

    def _config(self, n_features: int) -> VAEConfig:
        return replace(super()._config(n_features), autoregressive=self.autoregressive)

    def _likelihood(self) -> Likelihood:
        return self._codec.likelihood if hasattr(self, "_codec") else Histogram(())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64"]
        tags.input_tags.categorical = True
        return tags
