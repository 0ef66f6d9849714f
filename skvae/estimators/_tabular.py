"""`TabularVAE`: codes and synthetic rows of tables with columns of any type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_is_fitted

from ..likelihoods import Likelihood
from ..models import HistogramVAE
from ..priors import Prior
from ..utils import isolate, local_random_state
from ._base import BaseVAE
from ._conditions import Expanded, fit_conditions
from ._fit_warnings import warn_about_identifiers
from ._inference import as_dtype, check_n_samples, posterior_mean
from ._parameters import OBJECTIVE_CONSTRAINTS, names_in_errors
from ._persistence import loadable
from ._readers import FrameReader
from ._rejection import RejectionSampler
from ._validation import column_names, validate_codes, validate_table


@loadable
class TabularVAE(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseVAE):
    """Codes and synthetic rows of mixed-type tables.

    A variational autoencoder for data frames: columns may hold numbers, booleans, categories,
    strings, ordered categories, datetimes and durations, with missing values. Synthetic rows have
    the same columns, dtypes, categories and ranges as the training data. Tables may be data frames
    of pandas, polars or modin, tables of pyarrow, objects with the interface of Arrow, and
    arrays.

    Each column is divided into bins: the values of categories and, for numbers, intervals between
    quantiles and single values that occur often. The decoder predicts the probabilities of the
    bins, so a column may be skewed, bounded, zero-inflated or multimodal. Missing values have a bin
    of their own. Columns are sampled in turn, each given the code and the columns before it.

    Parameters
    ----------
    latent_dim : int, default=16
        Number of latent dimensions: the dimension of z.
    column_types : dict, default=None
        Kinds of columns by name, for columns whose dtype does not determine the kind: "numeric",
        "categorical" or "ordinal". Strings and categories that stand for numbers may be declared
        numeric. If X is an array, names are the numbers of columns.
    autoregressive : bool, default=True
        Whether each column depends on the columns before it, in addition to the code. Encoder and
        decoder are the same in both cases. Without autoregression, columns are independent given
        the code, and the columns of synthetic rows are less consistent with each other.
    hidden_layer_sizes : array-like of int or "auto", default="auto"
        Widths of the encoder's hidden layers. The decoder has the same layers in reverse order.
        ``()`` is a linear model. "auto" is (256, 128).
    activation : str, default="gelu"
        Activation function of the hidden layers: "gelu", "relu", "silu", "elu", "leaky_relu",
        "softplus", "tanh", "logistic" or "identity".
    beta : float, default=1.0
        Weight of the KL term in training.
    kl_warmup : float, default=0.0
        Fraction of training over which the weight of the KL term rises from 0 to `beta`.
    prior : {"normal", "mixture", "vamp", "flow"} or Prior, default="normal"
        Distribution of codes p(z): a standard normal distribution, or a distribution that is
        learned from the training rows. An object such as ``Mixture(n_components=20)`` sets options:
        see `skvae.priors`.
    prior_std : float, default=1.0
        Scale of the codes: the standard deviation of the normal prior. The value has no effect on
        the quality of the model.
    n_training_draws : int, default=1
        Number of draws from the posterior per row and step of training. With one draw, training
        maximises the evidence lower bound. With more draws, training maximises the
        importance-weighted bound, which is closer to log p(x), and the decoder computes as many
        passes.
    encoder_dropout : float, default=0.0
        Fraction of the entries of X that are hidden from the encoder in each step of training. All
        entries are reconstructed. Hidden entries reduce over-fitting of the encoder.
    condition_columns : list, dict or None, default=None
        Columns of X that the model is given rather than models, by name or position: the model is
        p(x | z, c), with the posterior q(z | x, c). In a list, columns of numbers are numeric, and
        columns of strings, categories, booleans and objects are categorical. A dict maps columns to
        a kind: "numeric", "categorical" or, for likelihoods of counts, "exposure", a factor of the
        rate such as the total count of a row.
    solver : {"adam", "adamw", "rmsprop"}, default="adam"
        Optimizer that updates the weights.
    alpha : float or "auto", default=0.0
        Strength of weight decay. Each step multiplies the weight matrices of the decoder by one
        minus `alpha` times the learning rate, except for the weights of the linear path to the
        means. "auto" is ``(300 / n_samples) ** 2 * min(2, n_features / 20)``, and up to three times
        as much for ``Gaussian("shared")`` and ``Gaussian("full")``, for a model with a linear path,
        which few rows hold close to the linear model. For other models, "auto" is 0.
    learning_rate : {"cosine", "constant"}, default="cosine"
        Schedule of the learning rate. "cosine" rises to `learning_rate_init` over the first
        200 steps, within 5% and 20% of all steps, and then falls to zero along a cosine.
        "constant" is `learning_rate_init` throughout.
    learning_rate_init : float or "auto", default="auto"
        Highest learning rate. "auto" is 0.006 for training of up to 2,000 steps. For longer
        training, the rate falls with the fourth root of the number of steps, to 0.004 for 10,000
        steps. The rate is at most 0.006 times the square root of 256 over the number of units of
        the widest layer.
    batch_size : int or "auto", default="auto"
        Number of rows per step. "auto" divides the rows into equal batches of at most a fiftieth
        of the rows, but 64 to 200 rows. For more than 100,000 rows, batches are a five-hundredth of
        the rows, and at most 2,000 rows.
    max_iter : int or "auto", default=40
        Largest number of epochs. "auto" is the number of epochs for 400 steps, plus 0.9 steps for
        each row, up to 30,000 steps.
    early_stopping : bool, default=False
        Whether to hold out a fraction `validation_fraction` of the rows, to stop when the
        validation loss has not improved by `tol` for `n_iter_no_change` epochs, and to keep the
        weights of the best epoch, or of the start. The validation loss is computed at beta = 1.
        With ``learning_rate="cosine"``, the learning rate falls to zero over another
        `n_iter_no_change` epochs before training ends.
    validation_fraction : float, default=0.1
        Fraction of rows held out for early stopping.
    n_iter_no_change : int or "auto", default="auto"
        Number of epochs to wait for an improvement. "auto" is the number of epochs for a tenth of
        the training steps, or of the steps of ``max_iter="auto"`` if these are fewer, and at
        least for 100 steps.
    tol : float, default=1e-4
        Smallest improvement that counts, in nats per row. Without early stopping, `tol` applies to
        the training objective, and only at a constant learning rate.
    n_importance_samples : int, default=16
        Number of draws from the posterior per row in `score` and `score_samples`. More draws give a
        tighter bound.
    warm_start : bool, default=False
        Whether `fit` continues from the fitted weights, with a new optimizer.
    checkpoint : path-like, Checkpoint or None, default=None
        File to which `fit` writes its progress: after each epoch, or as often as a `Checkpoint`
        specifies. If the file exists, the same `fit` continues from the file.
    on_interrupt : {"keep", "raise"}, default="keep"
        Effect of Ctrl-C during `fit`, once an epoch is complete. "keep" leaves an estimator fitted
        with the weights of the last epoch, or of the best epoch with early stopping, and warns.
        "raise" raises the exception, as searches require.
    verbose : int, default=0
        Whether to show a progress bar with the loss and its two terms.
    random_state : int, RandomState instance or None, default=None
        Controls the initial weights, the shuffling of rows, the draws from the posterior and the
        choice of validation rows. Pass an int for reproducible results: the same int gives the same
        model, bit for bit, on the same machine. Global random states are neither used nor changed.
    device : str or torch.device, default="auto"
        Device of the model: "cpu", "cuda", "cuda:1", "mps", ... "auto" is the first available
        device of CUDA, MPS and CPU.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Precision of matrix products in training. "auto" is bfloat16 if the hardware is faster in
        bfloat16 and the network is large enough.

    Attributes
    ----------
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, if X had names.
    n_iter_ : int
        Number of epochs of training.
    history_ : dict of lists
        Metrics of each epoch, in nats per row, measured during training: "loss", the negative lower
        bound at beta = 1; its terms "reconstruction_loss" and "kl_loss"; "active_units", the number
        of latent dimensions whose posterior means have more than 0.01 of the variance of the codes.
        With early stopping also "validation_loss", "validation_reconstruction_loss" and
        "validation_kl_loss".
    loss_curve_ : list of float
        ``history_["loss"]``.
    device_ : torch.device
        Device of the model.
    module_ : torch.nn.Module
        The trained networks.

    See Also
    --------
    VAETransformer : Takes numbers without missing values.

    Notes
    -----
    For numbers, log-densities are with respect to the unit of X; the probability of a rounded
    number is divided by the distance to the next number. For categories, missing values, and values
    that occur often in a column of numbers that are not rounded, log-densities are probabilities.

    Every value has a positive density. Numbers beyond the range of the training data and unseen
    categories share the probability of about one training row, and are never sampled.

    References
    ----------
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
        **BaseVAE._parameter_constraints,
        **OBJECTIVE_CONSTRAINTS,
        "column_types": [dict, None],
        "autoregressive": ["boolean"],
    }
    _takes_missing: ClassVar[bool] = True

    module_: HistogramVAE
    _reader: FrameReader
    # Conditions are not routed through pipelines.
    __metadata_request__inverse_transform: ClassVar[dict[str, Any]] = {"conditions": UNUSED}

    @names_in_errors
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
        prior: str | Prior = "normal",
        prior_std: float = 1.0,
        n_training_draws: int = 1,
        encoder_dropout: float = 0.0,
        condition_columns: Any = None,
        solver: str = "adam",
        alpha: Any = 0.0,
        learning_rate: str = "cosine",
        learning_rate_init: Any = "auto",
        batch_size: Any = "auto",
        max_iter: Any = 40,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: Any = "auto",
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
            prior=prior,
            condition_columns=condition_columns,
            n_training_draws=n_training_draws,
            encoder_dropout=encoder_dropout,
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            solver=solver,
            alpha=alpha,
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
        self.beta = beta
        self.kl_warmup = kl_warmup
        self.prior_std = prior_std

    # ---- Codes -----------------------------------------------------------------------

    @isolate
    def transform(self, X: Any) -> np.ndarray:
        """Return the code of each row: the posterior mean.

        Parameters
        ----------
        X : data frame, table or array-like of shape (n_samples, n_features)

        Returns
        -------
        Z : ndarray of shape (n_samples, latent_dim)
            E[z | x], in float64.
        """
        return self._infer(X, posterior_mean)

    @isolate
    def inverse_transform(self, X: Any, *, conditions: Any = None) -> Any:
        """Map codes back to data space.

        Parameters
        ----------
        X : array-like of shape (n_samples, latent_dim)
            Codes, as returned by `transform`.
        conditions : mapping or data frame, default=None
            Value of each condition column, by name: a value for all rows, or `n_samples` values.
            Required if the model has condition columns.

        Returns
        -------
        X_decoded : table of shape (n_samples, n_features)
            Table of the library and the dtypes of X in `fit`, with the most probable category of
            each column, or the median for ordered columns, given the code and the columns before.
        """
        check_is_fitted(self)
        Z = validate_codes(X, self.module_.latent_dim)
        expanded = self._expand_conditions(conditions, len(Z))
        return self._write(self._decode(Z, expanded), None, expanded)

    def _write(
        self, bins: np.ndarray, positions: np.ndarray | None, conditions: Expanded | None
    ) -> Any:
        given = None if conditions is None else conditions.to_frame()
        return self._reader.write(bins, positions, given=given)

    @isolate
    def reconstruct(self, X: Any) -> Any:
        """Encode and decode each row.

        Parameters
        ----------
        X : data frame, table or array-like of shape (n_samples, n_features)

        Returns
        -------
        X_decoded : table of shape (n_samples, n_features)
            ``inverse_transform(transform(X))``, with the index of X.
        """
        return super().reconstruct(X)

    # ---- Synthetic rows --------------------------------------------------------------

    @isolate
    def sample(
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
            Names of columns to the values that all rows have there: a value, a list of values, or a
            `pandas.Interval` for numbers and datetimes. NaN or None stands for a missing value. A
            tuple is a value, for columns of tuples only.
            Conditions are met by rejection sampling, bounded by the largest probability so far
            (Caffo, Booth and Davis, "Empirical supremum rejection sampling", Biometrika 89, 2002),
            so rare conditions take long.
            Condition columns of the model need no rejection, and are required: a value for all
            rows, or a list of `n_samples` values. A data frame may hold the condition columns.
        random_state : int, RandomState instance or None, default=None
            Controls the draws. Pass an int for reproducible results.

        Returns
        -------
        X : table of shape (n_samples, n_features)
            Table of the library and the dtypes of X in `fit`, with values that occur in the
            training data, and numbers between such values.

        Raises
        ------
        ValueError
            If a condition names an unknown column, if no value of the training data satisfies a
            condition, if rows that satisfy all conditions are too rare, or if the value of a
            condition column is absent or unknown.
        """
        check_is_fitted(self)
        n_samples = check_n_samples(n_samples)
        given, wanted = self._split_conditions(conditions)
        expanded = self._expand_conditions(given, n_samples)
        rng = local_random_state(random_state)
        if not wanted:
            bins = self._sample_rows(n_samples, rng, expanded)
            return self._write(bins, rng.uniform(size=bins.shape), expanded)
        module = as_dtype(self.module_, self._reader.dtype)
        sampler = RejectionSampler(module, self._reader.codec, wanted, rng)
        if expanded is None:
            bins, positions = sampler.sample(n_samples)
        else:
            bins, positions = sampler.sample_each(expanded.numbers)
        return self._write(bins, positions, expanded)

    def _split_conditions(self, conditions: Any) -> tuple[Any, Mapping[Any, Any]]:
        """Return the conditions on condition columns, and those on modelled columns."""
        reader = self._reader.conditions
        if reader is not None and conditions is not None and not isinstance(conditions, Mapping):
            extra = [n for n in column_names(conditions) or () if n not in reader.names]
            if extra:
                raise ValueError(
                    f"conditions is a table with {extra}, which are no condition columns. Select "
                    f"{reader.names}, or pass a dict: conditions on other columns are for all rows."
                )
            return conditions, {}
        if not isinstance(conditions, Mapping | None):
            raise TypeError(f"conditions must map names of columns to values; got {conditions!r}.")
        # Iterators can be read once, and conditions are read in every round.
        wanted = {
            key: list(value) if isinstance(value, Iterator) else value
            for key, value in (conditions or {}).items()
        }
        if reader is None:
            return None, wanted
        given = {key: wanted.pop(key) for key in reader.keys_in(wanted)}
        return given or conditions, wanted  # without any condition column, an error names the keys

    # ---- Data ------------------------------------------------------------------------

    def _resolve_likelihood(self) -> Likelihood:
        return self._reader.likelihood

    def _validate(self, X: Any, *, reset: bool) -> Any:
        return validate_table(self, X, reset=reset)

    def _make_reader(self, X_valid: Any) -> FrameReader:
        conditions = fit_conditions(self.condition_columns, X_valid.frame)
        reader = FrameReader(self.column_types, conditions=conditions).fit(X_valid)
        warn_about_identifiers(reader.codec.identifiers)
        return reader

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64"]
        tags.input_tags.categorical = True
        return tags
