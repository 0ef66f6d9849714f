"""The variational autoencoder itself, as a torch module in the units of X."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from ..likelihoods import Likelihood, Marginals, Parameters, resolve_likelihood
from ..utils import soft_clamp
from ._networks import Architecture, build_networks, resolve_architecture

# Posterior variances stay within e^-20 and e^20 of the prior's, 1: past single precision.
_MAX_LOG_VAR = 20.0
# Standardised values beyond it are taken to be there: their squares, and what networks make of
# them, would be past single precision.
_MAX_Z = 1e10


class Posterior(NamedTuple):
    """Diagonal Gaussian q(z | x), one row each."""

    mean: Tensor  # (n, k)
    log_var: Tensor  # (n, k)

    @property
    def std(self) -> Tensor:  # (n, k)
        return torch.exp(0.5 * self.log_var)

    def rsample(self, eps: Tensor) -> Tensor:
        """Return the codes ``mean + std * eps``; `eps` is (..., n, k) or broadcasts to it."""
        return self.mean + self.std * eps


@dataclass(frozen=True)
class VAEConfig:
    """What a module is built from: two equal ones build modules that swap weights."""

    n_features: int
    latent_dim: int
    architecture: str | Architecture
    hidden_layer_sizes: tuple[int, ...] | str
    activation: str
    image_shape: tuple[int, ...] | None
    likelihood: str | Likelihood
    prior_std: float
    # Whether rows may have NaN, which stands for what was not observed.
    missing: bool = False
    # Whether each column depends on those before it, besides the code.
    autoregressive: bool = False


class VAE(nn.Module):
    """Encoder, decoder and likelihood of one variational autoencoder.

    The encoder maps (n, n_features) to (n, 2 * latent_dim): means, then log-variances, of
    the posterior. Missing entries it sees at placeholders, their columns' means or what the
    likelihood says instead, and they count in no likelihood. The decoder maps (n, latent_dim)
    to (n, n_outputs): the likelihood's "row" parameters, one block after the other, as departures
    from `bias`, which starts at the columns' marginals. Codes are in units of the prior's standard
    deviation throughout: the prior is N(0, I). `prior_std`, what such a unit is in the codes
    that users see, neither enters training nor the bound.

    Parameters
    ----------
    config : VAEConfig
    generator : torch.Generator
        Source of the start weights.

    Raises
    ------
    TypeError, ValueError
        If the configuration does not fit together.
    """

    shift: Tensor
    scale: Tensor
    placeholder: Tensor  # what stands for missing entries, if there may be any

    def __init__(self, config: VAEConfig, generator: Generator) -> None:
        super().__init__()
        self.config = config
        self.likelihood = resolve_likelihood(config.likelihood)
        self.latent_dim = config.latent_dim
        self.prior_std = config.prior_std
        n_features = config.n_features
        n_inputs = self.likelihood.encoder_width(n_features)
        n_outputs = self.likelihood.decoder_width(n_features)
        shares = self.likelihood.parameters
        self.row_names = [name for name, share in shares.items() if share == "row"]
        architecture = resolve_architecture(
            config.architecture,
            n_features=n_inputs,
            image_shape=config.image_shape,
            hidden_layer_sizes=config.hidden_layer_sizes,
            activation=config.activation,
        )
        self.encoder, self.decoder = build_networks(
            architecture,
            n_features=n_inputs,
            latent_dim=config.latent_dim,
            n_outputs=n_outputs * len(self.row_names),
            generator=generator,
        )
        self.bias = nn.Parameter(torch.zeros(len(self.row_names), n_outputs))
        # The likelihood's parameters that do not come from the decoder.
        self.global_params = nn.ParameterDict()
        for name, share in shares.items():
            if share != "row":
                shape = (n_features,) if share == "feature" else ()
                self.global_params[name] = nn.Parameter(
                    torch.zeros(shape), requires_grad=share != "fixed"
                )
        # The most numbers that one row becomes on its way through, for bounding memory.
        self.max_width = max(
            n_inputs,
            n_outputs * len(self.row_names),
            _widest_output(self.encoder, n_inputs),
            _widest_output(self.decoder, config.latent_dim),
        )
        self._constants = nn.Module()
        for name, constant in self.likelihood.constants().items():
            self._constants.register_buffer(name, constant, persistent=False)
        self.register_buffer("shift", torch.zeros(n_features, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(n_features, dtype=torch.float64))
        if config.missing:
            self.register_buffer("placeholder", torch.zeros(n_features, dtype=torch.float64))

    @property
    def constants(self) -> Parameters:
        """What the likelihood needs that never changes."""
        return dict(self._constants.named_buffers())

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return self.bias.dtype

    @torch.no_grad()
    def initialize(self, n_samples: int, mean: Tensor, var: Tensor) -> None:
        """Set units and start values from the columns' means and variances, (d,) each."""
        scheme = self.likelihood.standardize
        if scheme is not None:
            common = var.mean() if scheme == "shared" else var
            self.shift.copy_(mean)
            self.scale.copy_(torch.where(common > 0, common, 1.0).sqrt())
        centre = (mean - self.shift) / self.scale
        marginals = Marginals(n_samples, centre, var / self.scale.square(), self.scale)
        if self.config.missing:
            self.placeholder.copy_(self.likelihood.placeholder(marginals))
        start = self.likelihood.initial_params(marginals)
        for row, name in enumerate(self.row_names):
            self.bias[row] = start[name]
        for name, parameter in self.global_params.items():
            parameter.copy_(start[name])

    def standardize(self, x: Tensor) -> Tensor:
        """Bring rows of X, of any dtype, to the likelihood's units and the weights' dtype.

        Except in training, values more than 10^10 standard deviations away are taken to be that
        far.
        """
        if self.likelihood.standardize is None:
            return x.to(self.dtype)
        wide = x if x.is_floating_point() else x.to(self.shift.dtype)
        x = ((wide - self.shift) / self.scale).to(self.dtype)
        return x if self.training else x.clamp_(-_MAX_Z, _MAX_Z)

    def unstandardize(self, x: Tensor) -> Tensor:
        """Bring (..., n_features) in the likelihood's units back to the units of X."""
        return x.to(self.scale.dtype) * self.scale + self.shift

    def encode(self, x: Tensor) -> Posterior:
        """Return q(z | x) for standardised rows, (n, n_features)."""
        visible = self.likelihood.encoder_input(self._fill_missing(x), self.constants)
        out = self.encoder(visible).to(x.dtype)  # (n, 2k)
        mean, log_var = out.chunk(2, dim=-1)
        return Posterior(mean, soft_clamp(log_var, _MAX_LOG_VAR))

    def decode(self, z: Tensor) -> Parameters:
        """Return the parameters of p(x | z) for codes of shape (..., latent_dim)."""
        out = self.decoder(z.reshape(-1, self.latent_dim)).to(z.dtype)
        out = out.view(*z.shape[:-1], *self.bias.shape) + self.bias
        row = dict(zip(self.row_names, out.unbind(-2), strict=True))
        return {**row, **self.global_params, **self.constants}

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """Return log p(x | z) of standardised rows in nats and in the units of X.

        `x` is (n, n_features), `z` (..., n, latent_dim); the result is (..., n). The
        Jacobian of the standardisation is counted in.
        """
        if self.config.missing:
            return self.feature_log_likelihood(x, z).sum(-1)
        log_prob = self.likelihood.log_prob(x, self.decode(z)).sum(-1)
        return log_prob - self.scale.log().sum().to(log_prob.dtype)

    def feature_log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """Return the terms that `log_likelihood` sums, one for each feature: (..., n, d).

        Those of missing entries are 0.
        """
        return self._feature_log_prob(x, self.decode(z))

    def _feature_log_prob(self, x: Tensor, params: Parameters) -> Tensor:
        log_prob = self.likelihood.log_prob(self._fill_missing(x), params)
        log_prob = log_prob - self.scale.log().to(log_prob.dtype)
        return log_prob.masked_fill(x.isnan(), 0.0) if self.config.missing else log_prob

    def _fill_missing(self, x: Tensor) -> Tensor:
        """Return rows with placeholders for missing entries."""
        if not self.config.missing:
            return x
        return torch.where(x.isnan(), self.placeholder.to(x.dtype), x)

    def sample_prior(self, n: int, generator: Generator) -> Tensor:
        """Draw n codes, (n, latent_dim), from the prior."""
        return torch.randn(
            n, self.latent_dim, generator=generator, dtype=self.dtype, device=self.bias.device
        )

    def mean(self, z: Tensor) -> Tensor:
        """Return E[x | z] in the units of X, for codes of shape (..., latent_dim)."""
        return self.unstandardize(self.likelihood.mean(self.decode(z)))

    def sample(self, z: Tensor, generator: Generator) -> Tensor:
        """Draw x from p(x | z) in the units of X, for codes of shape (..., latent_dim)."""
        return self.unstandardize(self.likelihood.sample(self.decode(z), generator))


@torch.no_grad()
def _widest_output(network: nn.Module, n_inputs: int) -> int:
    """Return how many numbers the largest output of any layer holds for one row."""
    sizes: list[int] = []

    def note_size(layer: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor):
            sizes.append(output.numel())

    hooks = [layer.register_forward_hook(note_size) for layer in network.modules()]
    mode = network.training
    network.eval()(torch.zeros(1, n_inputs))
    network.train(mode)
    for hook in hooks:
        hook.remove()
    return max(sizes, default=n_inputs)
