"""The variational autoencoder as a torch module, in the units of X."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call

from ..likelihoods import Parameters
from ..priors import Normal, normal_log_prob
from ..utils import autocast
from ._conditions import build_conditions
from ._config import VAEConfig
from ._dependent_columns import LinearDependence
from ._networks import build_networks, max_output_width, resolve_architecture
from ._posterior import Posterior
from ._units import Units


class VAEOutput(NamedTuple):
    """Result of a forward pass."""

    posterior: Posterior
    z: Tensor  # (..., n, k)
    log_likelihood: Tensor  # (..., n)


class VAE(nn.Module):
    """Encoder, decoder and likelihood of a variational autoencoder.

    The encoder maps (n, n_features) to (n, 2 * latent_dim): means and then log-variances of the
    posterior. The encoder sees missing and hidden entries as placeholders, which are column means
    unless the likelihood defines other placeholders. Missing entries do not count in the
    likelihood. The decoder maps (n, latent_dim) to (n, n_outputs): the "row" parameters of the
    likelihood, block by block, as differences from `bias`, which is initialised by the columns'
    marginals. Codes are in units in which the normal prior is N(0, I). `prior_std` is the size of
    this unit in the codes that users see, and has no effect on training or on the bound.

    With conditions c, standardised rows have further columns, c, and the model is p(x | z, c), with
    the posterior q(z | x, c) and the prior p(z): Sohn, Lee and Yan, "Learning structured output
    representation using deep conditional generative models", NeurIPS 2015, with a prior that does
    not depend on c. Networks see c as further inputs.

    Parameters
    ----------
    config : VAEConfig
    generator : torch.Generator or None
        Random generator of the initial weights. None builds a module without memory for weights,
        which only has their shapes: see `weight_shapes`.

    Raises
    ------
    TypeError, ValueError
        If the configuration is inconsistent.
    """

    placeholder: Tensor  # replaces missing and hidden entries in the input of the encoder

    def __init__(self, config: VAEConfig, generator: Generator | None) -> None:
        super().__init__()
        self.config = config
        self.likelihood = config.resolved_likelihood
        self.prior = config.resolved_prior
        self.latent_dim = config.latent_dim
        self.prior_std = config.prior_std
        n_features = config.n_features
        self.conditions = build_conditions(config.conditions, config.modelled, self.likelihood)
        n_conditions, n_covariates = 0, 0
        if self.conditions is not None:
            n_conditions, n_covariates = self.conditions.width, self.conditions.n_covariates
        n_inputs = self.likelihood.encoder_width(n_features) + n_conditions
        self.n_decoder_inputs = config.latent_dim + n_covariates
        n_outputs = self.likelihood.decoder_width(n_features)
        scopes = self.likelihood.parameters
        self.decoder_param_names = [name for name, scope in scopes.items() if scope == "row"]
        architecture = resolve_architecture(
            config.architecture,
            n_features=self.likelihood.encoder_width(n_features),
            image_shape=config.image_shape,
            hidden_layer_sizes=config.hidden_layer_sizes,
            activation=config.activation,
            linear_path=config.has_linear_path,
            n_covariates=n_covariates,
        )
        self.encoder, self.decoder = build_networks(
            architecture,
            n_features=n_inputs,
            latent_dim=config.latent_dim,
            n_outputs=n_outputs * len(self.decoder_param_names),
            generator=generator,
            n_covariates=n_covariates,
        )
        self.bias = nn.Parameter(
            torch.zeros(len(self.decoder_param_names), n_outputs, dtype=torch.float32)
        )
        self._add_global_params()
        self.prior_weights = nn.ParameterDict()
        for name, shape in self.prior.parameter_shapes(self.latent_dim, n_inputs).items():
            value = torch.zeros(shape, dtype=torch.float32)
            is_learned = not self.prior.is_fixed(name)
            self.prior_weights[name] = nn.Parameter(value, requires_grad=is_learned)
        self.units = Units(n_features, self.likelihood.standardize, config.dependent_columns)
        self.register_buffer("placeholder", torch.zeros(n_features, dtype=torch.float64))
        # Numbers of elements to bound the memory of inference: for each row, and in any layer for
        # each row and code.
        has_covariances = config.missing and self.likelihood.is_correlated
        self.row_width = n_features**2 if has_covariances else n_features
        self.max_width = max(
            n_inputs,
            n_outputs * len(self.decoder_param_names),
            self.prior.width(self.latent_dim),
        )
        self._constants = nn.Module()
        if generator is None:
            return
        self.max_width = max(
            self.max_width,
            max_output_width(self.encoder, n_inputs),
            max_output_width(self.decoder, self.n_decoder_inputs),
        )
        for name, constant in self.likelihood.constants().items():
            self._constants.register_buffer(name, constant, persistent=False)

    def _add_global_params(self) -> None:
        """Add the parameters of the likelihood that do not come from the decoder."""
        self.global_params = nn.ParameterDict()
        for name, scope in self.likelihood.parameters.items():
            if scope != "row":
                n_axes = {"feature": 1, "matrix": 2, "fixed_matrix": 2}.get(scope, 0)
                value = torch.zeros((self.config.n_features,) * n_axes, dtype=torch.float32)
                is_learned = scope not in ("fixed", "fixed_matrix")
                self.global_params[name] = nn.Parameter(value, requires_grad=is_learned)

    @property
    def networks(self) -> nn.ModuleList:
        """Encoder and decoder."""
        return nn.ModuleList([self.encoder, self.decoder])

    @property
    def constants(self) -> Parameters:
        """Tensors of the likelihood that never change."""
        return dict(self._constants.named_buffers())

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return self.bias.dtype

    @torch.no_grad()
    def initialize(
        self,
        n_samples: int,
        mean: Tensor,
        var: Tensor,
        dependence: LinearDependence | None = None,
    ) -> None:
        """Set units and initial parameters from the means and variances of the columns of rows."""
        if self.conditions is not None:
            self.conditions.initialize(mean, var)
            mean, var = mean[self.conditions.modelled], var[self.conditions.modelled]
        marginals = self.units.initialize(n_samples, mean, var, dependence)
        self.placeholder.copy_(self.likelihood.placeholder(marginals))
        self.set_params(self.likelihood.initial_params(marginals))

    @torch.no_grad()
    def initialize_prior(self, x: Tensor, generator: Generator) -> None:
        """Set the parameters of the prior for standardised rows."""
        inputs = self.encoder_input(x)
        params = self.prior.initial_params(self.latent_dim, inputs, generator)
        for name, weight in self.prior_weights.items():
            weight.copy_(params[name])

    @torch.no_grad()
    def set_params(self, params: Parameters) -> None:
        """Set parameters of the likelihood, given by name, for codes that the decoder maps to 0."""
        for row, name in enumerate(self.decoder_param_names):
            if name in params:
                self.bias[row] = params[name]
        for name, parameter in self.global_params.items():
            if name in params:
                parameter.copy_(params[name])

    def forward(
        self, x: Tensor, eps: Tensor | None = None, hidden: Tensor | None = None
    ) -> VAEOutput:
        """Encode rows, draw a code for each row, and return the likelihood of the rows.

        Parameters
        ----------
        x : Tensor of shape (n, n_features + n_conditions)
            Standardised rows.
        eps : Tensor of shape (..., n, latent_dim), optional
            Standard normal draws. By default, codes are posterior means.
        hidden : Tensor of shape (n, n_features), optional
            Entries that are hidden from the encoder.

        Returns
        -------
        output : VAEOutput
            The posterior q(z | x), the codes z, (..., n, latent_dim), and log p(x | z), (..., n),
            in nats and in the units of X.
        """
        posterior = self.encode(x, hidden)
        z = posterior.mean if eps is None else posterior.rsample(eps)
        return VAEOutput(posterior, z, self.log_likelihood(x, z))

    # ---- Units -----------------------------------------------------------------------

    def standardize(self, x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Convert rows of X, of any dtype, to the likelihood's units, and encode conditions.

        Parameters
        ----------
        x : Tensor of shape (n, n_columns)
            Modelled columns and condition columns, in the order of X.
        dtype : torch.dtype, optional
            Precision of the result. By default, the precision of the weights.

        Returns
        -------
        x : Tensor of shape (n, n_features + n_conditions)
            Standardised rows: the modelled columns, and then the encoded conditions. Outside
            training, values are clamped to 10^10 standard deviations.
        """
        dtype = dtype or self.dtype
        if self.conditions is None:
            return self.units.standardize(x, dtype)
        x, values = self.conditions.split(x)
        x = self.units.standardize(x, dtype)
        return torch.cat([x, self.conditions(values).to(dtype)], -1)

    def split(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Split standardised rows into modelled columns and conditions, if there are any."""
        if self.conditions is None:
            return x, None
        return x[:, : self.config.n_features], x[:, self.config.n_features :]

    def draw_rows(self, x: Tensor, u: Tensor) -> Tensor:
        """Return standardised rows as the likelihood draws them for a step of training.

        `u` are uniform draws, (n, n_features).
        """
        x, c = self.split(x)
        x = self.likelihood.draw_rows(x, u.to(x.dtype))
        return x if c is None else torch.cat([x, c], -1)

    def unstandardize(self, x: Tensor) -> Tensor:
        """Convert (..., n_features) in the likelihood's units to the units of X."""
        return self.units.unstandardize(x)

    # ---- Distributions ---------------------------------------------------------------

    def encode(self, x: Tensor, hidden: Tensor | None = None) -> Posterior:
        """Return q(z | x, c) of standardised rows, without the hidden entries."""
        return Posterior.from_outputs(self.encoder(self.encoder_input(x, hidden)), x.dtype)

    def encoder_input(self, x: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Return what the encoder sees of standardised rows, (n, n_inputs).

        The departures of visible entries from their placeholders are enlarged by the fraction of
        visible entries, as in dropout, so that inputs have the same mean as without hidden entries.
        """
        x, c = self.split(x)
        visible = self._fill_missing(x)
        if hidden is None:
            inputs = self._encoder_input(visible)
        else:
            placeholder = self.placeholder.to(x.dtype)
            visible = torch.where(hidden, placeholder, visible)
            origin = self._encoder_input(placeholder.unsqueeze(0))
            fraction = hidden.logical_not().to(x.dtype).mean(-1, keepdim=True)
            scale = 1 / fraction.clamp_min(1 / self.config.n_features)
            inputs = origin + scale * (self._encoder_input(visible) - origin)
        return inputs if c is None else torch.cat([inputs, c], -1)

    def _encoder_input(self, visible: Tensor) -> Tensor:
        return self.likelihood.encoder_input(self.units.mask_dependent(visible), self.constants)

    def decode(self, z: Tensor, c: Tensor | None = None) -> Parameters:
        """Return the parameters of p(x | z, c).

        `z` is (..., latent_dim), and the conditions `c` (..., n_conditions), without leading axes
        of codes or with axes of length 1.
        """
        inputs = self._with_covariates(z, c)
        out = self.decoder(inputs.reshape(-1, self.n_decoder_inputs)).to(z.dtype)
        out = out.view(*z.shape[:-1], *self.bias.shape) + self.bias
        row = dict(zip(self.decoder_param_names, out.unbind(-2), strict=True))
        name = self.likelihood.exposure_parameter
        if name is not None and self.conditions is not None and c is not None:
            row[name] = row[name] + self.conditions.log_exposure(c).to(z.dtype)
        return {**row, **self.global_params, **self.constants}

    def _with_covariates(self, z: Tensor, c: Tensor | None) -> Tensor:
        """Return codes and the covariates among conditions, (..., n_decoder_inputs)."""
        if self.conditions is None:
            return z
        assert c is not None
        covariates = self.conditions.covariates(c).to(z.dtype)
        return torch.cat([z, covariates.expand(*z.shape[:-1], -1)], -1)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """Return log p(x | z, c) of standardised rows, in nats and in the units of X.

        `x` is (n, n_features + n_conditions) and `z` (..., n, latent_dim); the result is (..., n).
        It includes the Jacobian of the standardisation.
        """
        if self.config.missing:
            return self.feature_log_likelihood(x, z).sum(-1)
        x, c = self.split(x)
        log_prob = self.likelihood.log_prob(x, self.decode(z, c)).sum(-1)
        return log_prob - self.units.scale.log().sum().to(log_prob.dtype)

    def feature_log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """Return the term of each feature in `log_likelihood`, (..., n, n_features).

        The terms of missing entries are 0.
        """
        x, c = self.split(x)
        return self._feature_log_prob(x, self.decode(z, c))

    def _feature_log_prob(self, x: Tensor, params: Parameters) -> Tensor:
        if not self.config.missing:
            log_prob = self.likelihood.contributions(x, params)
            return log_prob - self.units.scale.log().to(log_prob.dtype)
        log_prob = self.likelihood.observed_log_prob(x, params, self.placeholder.to(x.dtype))
        log_prob = log_prob - self.units.scale.log().to(log_prob.dtype)
        return log_prob.masked_fill(x.isnan(), 0.0)

    def _fill_missing(self, x: Tensor) -> Tensor:
        """Return rows with placeholders for missing entries."""
        if not self.config.missing:
            return x
        return torch.where(x.isnan(), self.placeholder.to(x.dtype), x)

    @property
    def learns_prior(self) -> bool:
        return not isinstance(self.prior, Normal)

    def log_prior_ratio(self, z: Tensor) -> Tensor:
        """Return log p(z) - log N(z; 0, I) of codes of shape (..., latent_dim), in nats, (...).

        A prior that learns separately has no influence on the gradients of encoder and decoder.
        """
        if self.prior.training == "separate":
            z = z.detach()
        params = self.prior_params()
        with autocast(z.device, torch.float32):
            return self.prior.log_prob(z, params) - normal_log_prob(z)

    def prior_params(self) -> Parameters:
        """Return the parameters of p(z)."""

        def encode(inputs: Tensor) -> Posterior:
            if self.prior.training == "joint":
                return Posterior.from_outputs(self.encoder(inputs), self.dtype)
            weights = {name: weight.detach() for name, weight in self.encoder.named_parameters()}
            outputs = functional_call(self.encoder, weights, inputs)
            return Posterior.from_outputs(outputs, self.dtype)

        return self.prior.derived_params(dict(self.prior_weights), encode)

    def sample_prior(self, n: int, generator: Generator) -> Tensor:
        """Draw n codes, (n, latent_dim), from the prior."""
        shape = (n, self.latent_dim)
        eps = torch.randn(shape, generator=generator, dtype=self.dtype, device=self.bias.device)
        return self.prior.sample(eps, self.prior_params(), generator)

    def mean(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Return E[x | z, c] in the units of X: see `decode`."""
        return self.unstandardize(self.likelihood.mean(self.decode(z, c)))

    def sample(self, z: Tensor, generator: Generator, c: Tensor | None = None) -> Tensor:
        """Draw x from p(x | z, c) in the units of X: see `decode`."""
        return self.unstandardize(self.likelihood.sample(self.decode(z, c), generator))

    def complete(self, x: Tensor, z: Tensor, generator: Generator | None = None) -> Tensor:
        """Return a value for each missing entry, given z and the observed entries.

        Parameters
        ----------
        x : Tensor of shape (n, n_features + n_conditions)
            Standardised rows, with NaN for missing entries.
        z : Tensor of shape (..., n, latent_dim)
        generator : torch.Generator, optional
            Source of randomness for draws. By default, values are conditional means.

        Returns
        -------
        x : Tensor of shape (..., n, n_features)
            Rows in the units of X.
        """
        x, c = self.split(x)
        return self.unstandardize(self.likelihood.complete(x, self.decode(z, c), generator))
