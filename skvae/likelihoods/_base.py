"""Base class of the likelihoods, and the types of their arguments."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Generator, Tensor
from torch.distributions import constraints

Parameters = dict[str, Tensor]
ParameterScope = Literal["row", "feature", "shared", "fixed", "matrix", "fixed_matrix"]


class Marginals(NamedTuple):
    """Statistics of the training columns, in the units of the likelihood.

    Attributes
    ----------
    n_samples : int
        Number of training rows.
    mean : Tensor of shape (d,)
        Mean of each column.
    var : Tensor of shape (d,)
        Variance of each column.
    scale : Tensor of shape (d,)
        Size of one unit of the likelihood, in the units of X: the standard deviation of a
        standardised column, 1 for other columns.
    """

    n_samples: int
    mean: Tensor  # (d,)
    var: Tensor  # (d,)
    scale: Tensor  # (d,)


class Likelihood(ABC):
    """Base class for conditional distributions p(x | z) of one row given its code.

    Subclasses are frozen dataclasses without weights: the module owns the parameters and passes
    `params` to each method. `params` maps each name in `parameters` to a tensor, and also contains
    the tensors of `constants`. Columns are independent given the code, except for
    ``Gaussian("full")``.

    Rows are the second-to-last dimension of a tensor, and columns the last. A "row" parameter has
    shape (..., n, decoder_width), where leading dimensions stand for several codes per row. Any
    other parameter broadcasts against (..., n, d).

    All values are in the units of the likelihood: standard deviations if `standardize` is not
    None, otherwise the units of X. The module converts between the units of the likelihood and
    the units of X.

    Attributes
    ----------
    support : torch.distributions.constraints.Constraint
        Values with a defined log-probability.
    remedy : str
        Advice for the user about values outside `support`. Error messages end with the advice.
    exposure_parameter : str or None
        Name of the "row" parameter to which the log of an exposure is added. None, the default, for
        likelihoods without a rate.
    """

    support: ClassVar[constraints.Constraint]
    remedy: ClassVar[str]
    exposure_parameter: ClassVar[str | None] = None

    @property
    @abstractmethod
    def parameters(self) -> dict[str, ParameterScope]:
        """Scope of each parameter, by name.

        - "row": predicted by the decoder for each row and column.
        - "feature": learned, with a value per column.
        - "shared": learned, with a single value for all columns.
        - "fixed": given by the user, not learned.
        - "matrix": learned, with a value for each pair of columns.
        - "fixed_matrix": a value for each pair of columns, set at the start of training, not
          learned.
        """

    @property
    def standardize(self) -> Literal["feature", "shared"] | None:
        """Standardisation of columns before training.

        - "feature": subtract the mean of each column and divide by the standard deviation of the
          column.
        - "shared": subtract the mean of each column and divide all columns by the square root of
          the average variance.
        - None (the default): leave columns in the units of X.
        """
        return None

    def constants(self) -> Parameters:
        """Return tensors that depend on the options alone and never change.

        The module stores the tensors as buffers, which move between devices with the module, and
        adds the tensors to `params`.

        Returns
        -------
        constants : dict of str to Tensor
            Tensors by name. Empty by default.
        """
        return {}

    def encoder_width(self, n_features: int) -> int:
        """Return the number of encoder inputs per row.

        Parameters
        ----------
        n_features : int
            Number of columns d.

        Returns
        -------
        width : int
            Size of the last dimension of `encoder_input`. `n_features` by default.
        """
        return n_features

    def decoder_width(self, n_features: int) -> int:
        """Return the number of decoder outputs per row for each "row" parameter.

        Parameters
        ----------
        n_features : int
            Number of columns d.

        Returns
        -------
        width : int
            Size of the last dimension of a "row" parameter. `n_features` by default.
        """
        return n_features

    def encoder_input(self, x: Tensor, constants: Parameters) -> Tensor:
        """Transform rows into inputs of the encoder, on a scale that suits a neural network.

        Parameters
        ----------
        x : Tensor of shape (n, d)
            Rows in the units of the likelihood, with placeholders for missing entries.
        constants : dict of str to Tensor
            Tensors of `constants`.

        Returns
        -------
        inputs : Tensor of shape (n, encoder_width)
            `x` by default.
        """
        return x

    def placeholder(self, marginals: Marginals) -> Tensor:
        """Return values that replace missing entries in the input of the encoder.

        Parameters
        ----------
        marginals : Marginals
            Statistics of the training columns.

        Returns
        -------
        placeholder : Tensor of shape (d,)
            A value per column, in the units of the likelihood. Column means by default.
        """
        return marginals.mean

    @property
    def is_correlated(self) -> bool:
        """Whether columns depend on each other given the code. By default not."""
        return False

    @property
    def is_row_random(self) -> bool:
        """Whether training draws rows at random in each step: see `draw_rows`. By default not."""
        return False

    def draw_rows(self, x: Tensor, u: Tensor) -> Tensor:
        """Draw the rows of a step of training, given the rows of X.

        Called if `is_row_random` is True.

        Parameters
        ----------
        x : Tensor of shape (n, d)
            Rows in the units of the likelihood, with NaN for missing entries.
        u : Tensor of shape (n, d)
            Uniform draws from [0, 1).

        Returns
        -------
        x : Tensor of shape (n, d)
            `x` by default.
        """
        return x

    @abstractmethod
    def initial_params(self, marginals: Marginals) -> Parameters:
        """Return initial parameters, fitted to each column without regard to the code.

        Parameters
        ----------
        marginals : Marginals
            Statistics of the training columns.

        Returns
        -------
        params : dict of str to Tensor
            One tensor for each name in `parameters`: shape (decoder_width,) for "row", (d,) for
            "feature", () for "shared" and "fixed", and (d, d) for "matrix" and "fixed_matrix"
            parameters. The decoder learns "row" parameters as departures from the initial values.
        """

    @abstractmethod
    def log_prob(self, x: Tensor, params: Parameters) -> Tensor:
        """Return log p(x | z) of each row and column, in nats.

        If columns depend on each other given the code, the term of a column is the log-density
        given the columns before. The sum over columns is the log-density of the row. Normalising
        constants are included. Densities refer to the units of the likelihood; the module adds the
        Jacobian of the standardisation.

        Parameters
        ----------
        x : Tensor of shape (n, d)
            Rows in the units of the likelihood.
        params : dict of str to Tensor
            Parameters, with "row" parameters of shape (..., n, decoder_width).

        Returns
        -------
        log_prob : Tensor of shape (..., n, d)
            Log-probability or log-density, in nats.
        """

    def observed_log_prob(self, x: Tensor, params: Parameters, placeholder: Tensor) -> Tensor:
        """Return log p(x | z) of rows with missing entries, in nats.

        Parameters
        ----------
        x : Tensor of shape (n, d)
            Rows in the units of the likelihood, with NaN for missing entries.
        params : dict of str to Tensor
            Parameters, with "row" parameters of shape (..., n, decoder_width).
        placeholder : Tensor of shape (d,)
            Valid values of the columns, without effect on the result.

        Returns
        -------
        log_prob : Tensor of shape (..., n, d)
            As from `log_prob`. The sum over the observed entries of a row is their log-density.
            The values at missing entries have no meaning.
        """
        return self.log_prob(torch.where(x.isnan(), placeholder, x), params)

    def complete(self, x: Tensor, params: Parameters, generator: Generator | None = None) -> Tensor:
        """Return rows with a value for each missing entry, given z and the observed entries.

        Parameters
        ----------
        x : Tensor of shape (n, d)
            Rows in the units of the likelihood, with NaN for missing entries.
        params : dict of str to Tensor
            Parameters, with "row" parameters of shape (..., n, decoder_width).
        generator : torch.Generator, optional
            Source of randomness for draws. By default, values are conditional means.

        Returns
        -------
        x : Tensor of shape (..., n, d)
            Rows in the units of the likelihood.
        """
        values = self.mean(params) if generator is None else self.sample(params, generator)
        return torch.where(x.isnan(), values, x)

    def contributions(self, x: Tensor, params: Parameters) -> Tensor:
        """Split log p(x | z) of each row into contributions of the columns, in nats.

        Parameters
        ----------
        x : Tensor of shape (n, d)
            Rows in the units of the likelihood.
        params : dict of str to Tensor
            Parameters, with "row" parameters of shape (..., n, decoder_width).

        Returns
        -------
        contributions : Tensor of shape (..., n, d)
            Terms with the same sum over columns as `log_prob`, for any order of the columns.
            `log_prob` by default.
        """
        return self.log_prob(x, params)

    @abstractmethod
    def mean(self, params: Parameters) -> Tensor:
        """Return the conditional mean E[x | z] of each row and column.

        Parameters
        ----------
        params : dict of str to Tensor
            Parameters, with "row" parameters of shape (..., n, decoder_width).

        Returns
        -------
        mean : Tensor of shape (..., n, d)
            Means in the units of the likelihood.
        """

    def public_parameters(self, params: Parameters, scale: Tensor) -> Parameters:
        """Return the parameters that `skvae.export` writes to files.

        Parameters are bounded, and in the units of X.

        Parameters
        ----------
        params : dict of str to Tensor
            Parameters in the units of the likelihood.
        scale : Tensor of shape (d,)
            Size of one unit of the likelihood, in the units of X.

        Returns
        -------
        public : dict of str to Tensor
            Parameters by name. By default, the unchanged tensors named in `parameters`.
        """
        return {name: params[name] for name in self.parameters}

    @abstractmethod
    def sample(self, params: Parameters, generator: Generator) -> Tensor:
        """Draw one sample from p(x | z) for each row and column.

        Parameters
        ----------
        params : dict of str to Tensor
            Parameters, with "row" parameters of shape (..., n, decoder_width).
        generator : torch.Generator
            Source of randomness, on the device of the parameters. The global random state of
            torch stays untouched.

        Returns
        -------
        x : Tensor of shape (..., n, d)
            Samples in the units of the likelihood.
        """
