"""Results of fitted estimators, for any number of rows in bounded memory."""

from __future__ import annotations

import copy
import warnings
from abc import abstractmethod
from collections.abc import Callable
from numbers import Integral
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.quasirandom import SobolEngine

from ..models import VAE, importance_weighted_bound
from ..training import Rows, chunk_length
from ..utils import (
    between_steps,
    chunk_elements,
    draw_seed,
    find_stack_level,
    init_threads,
    isolate,
    limit_threads,
    seeded_generator,
    single_thread,
)
from ._conditions import Expanded
from ._readers import result_dtype

_TORCH_DTYPES = {"float32": torch.float32, "float64": torch.float64}
Module = TypeVar("Module", bound=VAE)


class InferenceMixin:
    """Methods of a fitted estimator with the module `module_`."""

    module_: VAE
    n_features_in_: int
    n_importance_samples: int
    _reader: Any  # ArrayReader or FrameReader
    _takes_missing: ClassVar[bool]

    @abstractmethod
    def _validate(self, X: Any, *, reset: bool) -> Any:
        """Return X as an array, sparse matrix or table, after checks of its form."""

    @abstractmethod
    def _read_valid(self, X_valid: Any, *, reset: bool = False, source: Any = None) -> Any:
        """Return valid data as rows of numbers within the support of the likelihood."""

    def _read(self, X: Any, *, reset: bool = False) -> Any:
        """Return X as rows of numbers within the support of the likelihood.

        Parameters
        ----------
        X : array-like, sparse matrix or table of shape (n_samples, n_features)
        reset : bool, default=False
            Whether X is training data, to which a new reader is fitted.
        """
        return self._read_valid(self._validate(X, reset=reset), reset=reset, source=X)

    # ---- Public methods --------------------------------------------------------------

    @isolate
    def encode(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean and the standard deviation of the posterior of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data within the support of the likelihood.

        Returns
        -------
        mean, std : ndarrays of shape (n_samples, latent_dim)
            Parameters of the diagonal Gaussian q(z | x), in float32 if X is float32, else in
            float64.
        """

        def moments(module: VAE, x: Tensor) -> Tensor:
            posterior = module.encode(x)
            return module.prior_std * torch.cat([posterior.mean, posterior.std], dim=-1)

        mean, std = np.split(self._infer(X, moments), 2, axis=1)
        return mean, std

    @isolate
    def reconstruct(self, X: Any) -> Any:
        """Encode and decode each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data within the support of the likelihood.

        Returns
        -------
        X_mean : ndarray of shape (n_samples, n_features)
            E[x | z] at the posterior mean z = E[z | x], in the units of X. For an imputer of data
            frames, a DataFrame with the index of X: the most probable category of each column, or
            the median for ordered columns. An imputer leaves out features that were empty in `fit`.
            Arrays have no condition columns, and data frames those of X.
        """
        check_is_fitted(self)
        X_valid = self._validate(X, reset=False)
        rows = self._compute(self._read_valid(X_valid, source=X), _reconstruct)
        return self._reader.write(rows, like=X_valid)

    @isolate
    def score_samples(self, X: Any) -> np.ndarray:
        """Return a lower bound on the log-density of each row.

        The importance-weighted bound of Burda, Grosse and Salakhutdinov, "Importance weighted
        autoencoders", ICLR 2016, equation 8, with `n_importance_samples` draws. All rows and calls
        share the same draws, so the score of a row depends on the row only. The draws are
        scrambled Sobol points, with an even coverage of the posterior (Buchholz, Wenzel and Mandt,
        "Quasi-Monte Carlo variational inference", ICML 2018), adjusted to the mean and covariance
        of the normal distribution.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data within the support of the likelihood.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Lower bounds in nats, all constants included, in the units of X. Higher is better.

        Warns
        -----
        UserWarning
            If all entries of a column are missing, in two or more rows. The scores do not depend on
            the column.
        """
        check_is_fitted(self)
        rows = self._read(X)
        self._warn_of_unknown_columns(rows)
        return self._score_rows(rows)

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean of `score_samples` over the rows of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data within the support of the likelihood.
        y : None
            Ignored.

        Returns
        -------
        score : float
            Mean lower bound on log p(x), in nats per row. Higher is better. The score does not
            depend on the weight of the KL term in training.
        """
        return float(np.mean(self.score_samples(X), dtype=np.float64))

    # ---- Computation -----------------------------------------------------------------

    def _warn_of_unknown_columns(self, rows: Any) -> None:
        """Warn if a column of rows from a reader has no known value."""
        if not self._takes_missing or len(rows) < 2:
            return
        is_known = np.zeros(rows.shape[1], dtype=bool)
        for chunk in gen_batches(len(rows), chunk_length(rows.shape[1])):
            is_known |= ~np.isnan(rows[chunk]).all(axis=0)
            if is_known.all():
                return
        features = getattr(self, "feature_names_in_", np.arange(self.n_features_in_))
        features = np.asarray(getattr(self._reader, "names", features))
        names = features[self._reader.observed][~is_known].tolist()
        columns = f"column {names[0]!r}" if len(names) == 1 else f"columns {names}"
        warnings.warn(
            f"No value of {columns} of X is known, so the scores are those of the other columns.",
            stacklevel=find_stack_level(),
        )

    def _score_rows(self, rows: Any) -> np.ndarray:
        """Return the scores of rows from a reader."""
        bound = self._with_draws(importance_weighted_bound)
        return self._compute(rows, bound, n_draws=self.n_importance_samples)

    def _infer(self, X: Any, function: Callable[[VAE, Tensor], Tensor]) -> np.ndarray:
        """Return ``function(module, x)`` for the standardised rows x of X."""
        check_is_fitted(self)
        return self._compute(self._read(X), function)

    def _compute(
        self,
        rows: Any,
        function: Callable[[VAE, Tensor], Tensor],
        *,
        n_draws: int = 1,
        index: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return ``function(module, x)`` for the standardised rows, chunk by chunk.

        Parameters
        ----------
        rows : ndarray or CSR matrix of shape (n, n_features)
            Rows from a reader.
        function : callable
            Maps the module and standardised rows to a tensor with one entry for each row.
        n_draws : int, default=1
            Number of draws per row, to bound the memory.
        index : ndarray, optional
            Positions of the rows to use; all rows by default.
        """
        dtype = result_dtype(rows)
        module = as_dtype(self.module_, dtype)
        view = Rows(rows, module.bias.device, index)

        def compute_chunk(chunk: slice) -> Tensor:
            return function(module, module.standardize(view.take(chunk)))

        size = chunk_size(module, n_draws)
        with limit_threads(module.networks, len(view) * n_draws):
            result = map_chunks(compute_chunk, len(view), chunk_size=size, dtype=dtype)
        return _check_finite(result, view.index)

    def _with_draws(
        self, function: Callable[[VAE, Tensor, Tensor], Tensor]
    ) -> Callable[[VAE, Tensor], Tensor]:
        """Bind the third argument of `function` to normal draws, the same for every row."""
        draws = normal_draws(self.n_importance_samples, self.module_.latent_dim)
        return lambda module, x: function(module, x, draws.to(x))

    def _expand_conditions(self, conditions: Any, n_rows: int) -> Expanded | None:
        """Return the conditions of a user for a number of rows, if the model has conditions.

        Raises
        ------
        ValueError
            If conditions are absent, unknown or invalid.
        """
        if self._reader.conditions is not None:
            return self._reader.conditions.expand(conditions, n_rows)
        if conditions is not None:
            raise ValueError(
                f"The {type(self).__name__} has no condition columns. Set condition_columns, and "
                "fit again."
            )
        return None

    def _decode(self, Z: Any, conditions: Expanded | None = None) -> np.ndarray:
        """Return E[x | z, c] for valid codes, as rows of numbers."""
        dtype = result_dtype(Z)
        module = as_dtype(self.module_, dtype)
        codes = Rows(Z, module.bias.device)
        given = _given_chunks(module, conditions)

        def decode_chunk(chunk: slice) -> Tensor:
            return module.mean(codes.take(chunk) / module.prior_std, given(chunk))

        with limit_threads(module.networks, len(Z)):
            rows = map_chunks(decode_chunk, len(Z), chunk_size=chunk_size(module), dtype=dtype)
        return _check_finite(rows)

    def _sample_rows(
        self,
        n_samples: int,
        rng: np.random.RandomState,
        conditions: Expanded | None = None,
        *,
        noise: bool = True,
    ) -> np.ndarray:
        """Draw new rows of numbers."""
        dtype = self._reader.dtype
        module = as_dtype(self.module_, dtype)
        generator = seeded_generator(draw_seed(rng), module.bias.device)
        given = _given_chunks(module, conditions)

        def draw_chunk(chunk: slice) -> Tensor:
            z, c = module.sample_prior(chunk.stop - chunk.start, generator), given(chunk)
            return module.sample(z, generator, c) if noise else module.mean(z, c)

        with limit_threads(module.networks, n_samples):
            rows = map_chunks(draw_chunk, n_samples, chunk_size=chunk_size(module), dtype=dtype)
        return _check_finite(rows)


def posterior_mean(module: VAE, x: Tensor) -> Tensor:
    """Return E[z | x] of standardised rows, (n, latent_dim), in the units of users."""
    return module.prior_std * module.encode(x).mean


def _reconstruct(module: VAE, x: Tensor) -> Tensor:
    _, c = module.split(x)
    return module.mean(module.encode(x).mean, c)


def _given_chunks(module: VAE, conditions: Expanded | None) -> Callable[[slice], Tensor | None]:
    """Return a function from slices of rows to the encoded conditions of the rows, if any."""
    if conditions is None or module.conditions is None:
        return lambda chunk: None
    rows, encode = Rows(conditions.numbers, module.bias.device), module.conditions
    return lambda chunk: encode(rows.take(chunk))


def check_n_samples(n_samples: Any) -> int:
    """Return a number of rows to draw, if it is a positive integer; else raise `ValueError`."""
    if not isinstance(n_samples, Integral) or n_samples < 1:
        raise ValueError(f"n_samples must be an integer of at least 1; got {n_samples!r}.")
    return int(n_samples)


def as_dtype(module: Module, dtype: str) -> Module:
    """Return the module with weights in `dtype`: a copy, or the module itself. For inference only.

    Metal has no float64, so the precision of modules on Metal does not change.
    """
    init_threads()
    wanted = _TORCH_DTYPES[dtype]
    if module.dtype == wanted or module.bias.device.type == "mps":
        return module
    return copy.deepcopy(module).to(wanted)


def chunk_size(module: VAE, n_draws: int = 1) -> int:
    """Return the number of rows to compute with at a time, each with a number of draws."""
    width = max(n_draws * module.max_width, module.row_width)
    return max(1, chunk_elements(module.bias.device) // width)


@torch.no_grad()
def map_chunks(
    function: Callable[[slice], Tensor], n_rows: int, *, chunk_size: int, dtype: str
) -> np.ndarray:
    """Return the concatenated results of a function for consecutive slices of rows.

    Parameters
    ----------
    function : callable
        Maps a slice of rows to a tensor with one entry for each row.
    n_rows : int
        Number of rows.
    chunk_size : int
        Largest number of rows of a slice.
    dtype : {"float32", "float64"}
        Dtype of the result.
    """
    result = np.empty(0, dtype)
    for start in range(0, n_rows, chunk_size):
        chunk = slice(start, min(start + chunk_size, n_rows))
        values = function(chunk).detach().cpu().numpy()
        if start == 0:
            result = np.empty((n_rows, *values.shape[1:]), dtype)
        with np.errstate(over="ignore"):  # callers check that results are finite
            result[chunk] = values
        between_steps()
    return result


def _check_finite(result: np.ndarray, index: np.ndarray | None = None) -> np.ndarray:
    """Return a result with one entry for each row, or for each row of `index`.

    Raises
    ------
    ValueError
        If the result is not finite; the message names the row.
    """
    bad = ~np.isfinite(result).reshape(len(result), -1).all(axis=1)
    if bad.any():
        first = bad.argmax() if index is None else index[bad.argmax()]
        raise ValueError(
            f"The result for row {first} overflows {result.dtype}: the row lies too far from the "
            "training data."
        )
    return result


@single_thread()
def normal_draws(n_draws: int, dim: int) -> Tensor:
    """Return standard normal points, (n_draws, dim), the same at every call.

    Scrambled Sobol points are mapped by the normal quantile function, mirrored to pairs of opposite
    sign, and scaled to the second moments of the normal distribution: all second moments if there
    are enough points, else only the variances. Shared draws need the adjustment, because errors
    do not average out over rows.
    """
    sobol = SobolEngine(dim, scramble=True, seed=0)
    # The engine rounds the first point to torch's default dtype. Always round it to float32.
    first = sobol.quasi.to(torch.float32) / 2**sobol.MAXBIT  # (dim,)
    uniform = sobol.draw((n_draws + 1) // 2, dtype=torch.float64)
    uniform[0] = first
    half = torch.special.ndtri(uniform.clamp(1e-9, 1 - 1e-9))
    draws = torch.cat([half, -half])[:n_draws]
    moments = draws.T @ draws / n_draws  # (dim, dim)
    if n_draws >= 2 * dim:
        factor = torch.linalg.cholesky(moments)
        return torch.linalg.solve_triangular(factor, draws.T, upper=False).T
    return draws / moments.diagonal().sqrt()
