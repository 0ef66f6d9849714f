"""What a fitted estimator answers, over any number of rows in bounded memory."""

from __future__ import annotations

import copy
from collections.abc import Callable
from numbers import Integral
from typing import Any, TypeVar

import numpy as np
import torch
from sklearn.utils.validation import check_array, check_is_fitted
from torch import Tensor
from torch.quasirandom import SobolEngine

from ..models import VAE, importance_weighted_bound
from ..training import Rows
from ..utils import (
    draw_seed,
    init_threads,
    limit_threads,
    local_random_state,
    seeded_generator,
    single_thread,
)

# Numbers worked on at a time, whatever the size of X: 8 MiB in float32, 16 in float64.
_CHUNK_ELEMENTS = 2**21
Module = TypeVar("Module", bound=VAE)
_TORCH_DTYPES = {"float32": torch.float32, "float64": torch.float64}


class InferenceMixin:
    """Public methods of an estimator whose trained module is `module_`."""

    module_: VAE
    n_features_in_: int
    n_importance_samples: int
    _dtype: str
    _validate: Callable[..., Any]

    def encode(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the posterior's mean and standard deviation for each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data within the support of the likelihood.

        Returns
        -------
        mean, std : ndarrays of shape (n_samples, latent_dim)
            Of the diagonal Gaussian q(z | x), in the dtype of X if that is float32, else
            in float64.
        """

        def moments(module: VAE, x: Tensor) -> Tensor:
            posterior = module.encode(x)
            return module.prior_std * torch.cat([posterior.mean, posterior.std], dim=-1)

        mean, std = np.split(self._infer(X, moments), 2, axis=1)
        return mean, std

    def reconstruct(self, X: Any) -> np.ndarray:
        """Return what the decoder makes of each row's posterior mean.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data within the support of the likelihood.

        Returns
        -------
        X_mean : ndarray of shape (n_samples, n_features)
            E[x | z] at z = E[z | x], in the units of X.
        """
        return self._infer(X, lambda module, x: module.mean(module.encode(x).mean))

    def score_samples(self, X: Any) -> np.ndarray:
        """Return a lower bound on the log-density of each row.

        The importance-weighted bound of Burda, Grosse and Salakhutdinov, "Importance
        weighted autoencoders", ICLR 2016, equation 8, with `n_importance_samples` draws.
        The draws are the same for every row and call, so a row's score depends on that row
        alone: scrambled Sobol points, which cover the posterior evenly (Buchholz, Wenzel
        and Mandt, "Quasi-Monte Carlo variational inference", ICML 2018), matched to the
        normal distribution in their mean and covariance.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data within the support of the likelihood.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Nats, all constants included, in the units of X: higher is better.
        """
        check_is_fitted(self)
        return self._scores(self._validate(X, reset=False))

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
            Mean lower bound on log p(x) in nats per row: higher is better. It does not
            depend on `beta`.
        """
        return float(np.mean(self.score_samples(X), dtype=np.float64))

    def sample(
        self, n_samples: Any = 1, *, noise: bool = True, random_state: Any = None
    ) -> np.ndarray:
        """Draw new rows from the model.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        noise : bool, default=True
            Whether to draw x from p(x | z), as the model says data arise, or to return
            its mean, as pictures of generated images usually do.
        random_state : int, RandomState instance or None, default=None
            Determines the draws.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            New rows in the units of X, in the floating dtype of the training data.
        """
        check_is_fitted(self)
        if not isinstance(n_samples, Integral) or n_samples < 1:
            raise ValueError(f"n_samples must be an integer of at least 1; got {n_samples!r}.")
        module = as_dtype(self.module_, self._dtype)
        seed = draw_seed(local_random_state(random_state))
        generator = seeded_generator(seed, module.bias.device)

        def draw(chunk: slice) -> Tensor:
            z = module.sample_prior(chunk.stop - chunk.start, generator)
            return module.sample(z, generator) if noise else module.mean(z)

        with limit_threads(module, int(n_samples)):
            X = in_chunks(draw, int(n_samples), row_size=module.max_width, dtype=self._dtype)
        return _finite(X)

    def _scores(self, X: Any) -> np.ndarray:
        """As `score_samples`, of valid rows."""
        bound = self._with_draws(importance_weighted_bound)
        return self._answer(X, bound, n_draws=self.n_importance_samples)

    def _infer(self, X: Any, function: Callable[[VAE, Tensor], Tensor]) -> np.ndarray:
        """Return `function` of the module and the standardised rows of X, chunk by chunk."""
        check_is_fitted(self)
        return self._answer(self._validate(X, reset=False), function)

    def _answer(
        self,
        X: Any,
        function: Callable[[VAE, Tensor], Tensor],
        *,
        n_draws: int = 1,
        index: np.ndarray | None = None,
    ) -> np.ndarray:
        """As `_infer`, of valid rows, all or those that `index` picks."""
        dtype = result_dtype(X)
        module = as_dtype(self.module_, dtype)
        rows = Rows(X, module.bias.device, index)

        def of_chunk(chunk: slice) -> Tensor:
            return function(module, module.standardize(rows.take(chunk)))

        with limit_threads(module, len(rows) * n_draws):
            answer = in_chunks(
                of_chunk, len(rows), row_size=module.max_width * n_draws, dtype=dtype
            )
        return _finite(answer, rows.index)

    def _with_draws(
        self, function: Callable[[VAE, Tensor, Tensor], Tensor]
    ) -> Callable[[VAE, Tensor], Tensor]:
        """Give `function` standard normal draws, the same for every row, as a third argument."""
        draws = normal_draws(self.n_importance_samples, self.module_.latent_dim)
        return lambda module, x: function(module, x, draws.to(x))

    def _decode(self, Z: Any) -> np.ndarray:
        """Return E[x | z] in the units of X for each row of Z."""
        check_is_fitted(self)
        Z = check_array(Z, dtype=[np.float64, np.float32], input_name="Z")
        latent_dim = self.module_.latent_dim
        if Z.shape[1] != latent_dim:
            raise ValueError(f"Z has {Z.shape[1]} columns, but the model has {latent_dim=}.")
        dtype = result_dtype(Z)
        module = as_dtype(self.module_, dtype)
        codes = Rows(Z, module.bias.device)

        def of_chunk(chunk: slice) -> Tensor:
            return module.mean(codes.take(chunk) / module.prior_std)

        with limit_threads(module, len(Z)):
            answer = in_chunks(of_chunk, len(Z), row_size=module.max_width, dtype=dtype)
        return _finite(answer)


def result_dtype(X: Any) -> str:
    """Return the dtype of what is computed from X: float32 for float32, else float64."""
    return "float32" if X.dtype.type is np.float32 else "float64"


def as_dtype(module: Module, dtype: str) -> Module:
    """Return the module with weights in `dtype`; the caller must not train it.

    Metal knows no float64: there the module stays as it is.
    """
    init_threads()
    wanted = _TORCH_DTYPES[dtype]
    if module.dtype == wanted or module.bias.device.type == "mps":
        return module
    return copy.deepcopy(module).to(wanted)


@torch.inference_mode()
def in_chunks(
    function: Callable[[slice], Tensor], n_rows: int, *, row_size: int, dtype: str
) -> np.ndarray:
    """Return `function` of consecutive slices of the rows, put together.

    Parameters
    ----------
    function : callable
        Maps a slice of rows to a tensor with as many rows.
    n_rows : int
    row_size : int
        Numbers that the max_width layer holds for one row: the wider, the shorter a slice.
    dtype : {"float32", "float64"}
        Of the result.
    """
    step = max(1, _CHUNK_ELEMENTS // row_size)
    result = np.empty(0, dtype)
    for start in range(0, n_rows, step):
        chunk = slice(start, min(start + step, n_rows))
        values = function(chunk).cpu().numpy()
        if start == 0:
            result = np.empty((n_rows, *values.shape[1:]), dtype)
        with np.errstate(over="ignore"):  # callers look for what is not finite
            result[chunk] = values
    return result


def _finite(answer: np.ndarray, index: np.ndarray | None = None) -> np.ndarray:
    """Return the answer, one for each row or each that `index` picks, if it is finite.

    Raises
    ------
    ValueError
        If it is not.
    """
    bad = ~np.isfinite(answer).reshape(len(answer), -1).all(axis=1)
    if bad.any():
        first = bad.argmax() if index is None else index[bad.argmax()]
        raise ValueError(
            f"What the model says of row {first} is too large for {answer.dtype}: the "
            "row is too far from what the model has learned."
        )
    return answer


@single_thread()
def normal_draws(n_draws: int, dim: int) -> Tensor:
    """Return standard normal points, (n_draws, dim), the same at every call.

    Scrambled Sobol points under the normal quantile function, in pairs of opposite sign,
    then stretched so that their second moments are those of the normal distribution: all
    of them where there are enough points, else each axis's own. Draws that are the same
    for every row need this: their error does not average out over rows.
    """
    sobol = SobolEngine(dim, scramble=True, seed=0)
    uniform = sobol.draw((n_draws + 1) // 2, dtype=torch.float64).clamp(1e-9, 1 - 1e-9)
    half = torch.special.ndtri(uniform)
    draws = torch.cat([half, -half])[:n_draws]
    moments = draws.T @ draws / n_draws  # (dim, dim)
    if n_draws >= 2 * dim:
        stretched = torch.linalg.solve_triangular(
            torch.linalg.cholesky(moments), draws.T, upper=False
        )
        return stretched.T
    return draws / moments.diagonal().sqrt()
