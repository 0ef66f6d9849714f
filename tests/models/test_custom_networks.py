"""Networks of custom architectures: right results, or an error that names the network."""

import numpy as np
import pytest
import torch
from torch import nn

from helpers import FAST, build_vae, linear_networks, normal
from skvae import VAETransformer

pytestmark = pytest.mark.torch_only

X = normal(40, 6).numpy()
FAST = {**FAST, "latent_dim": 3}


class Function(nn.Module):
    """A module without parameters that applies a function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class TwoHeads(nn.Module):
    """An encoder that returns means and log-variances, from the weights of a linear layer."""

    def __init__(self, linear, container=tuple):
        super().__init__()
        self.linear, self.container = linear, container

    def forward(self, x):
        return self.container(self.linear(x).chunk(2, -1))


def two_heads(n_features, latent_dim, n_outputs):
    encoder, decoder = linear_networks(n_features, latent_dim, n_outputs)
    return TwoHeads(encoder), decoder


def two_heads_in_a_list(n_features, latent_dim, n_outputs):
    encoder, decoder = linear_networks(n_features, latent_dim, n_outputs)
    return TwoHeads(encoder, list), decoder


def fit_networks(encoder=None, decoder=None):
    """Fit a model with six features and three latent dimensions."""
    encoder = nn.Linear(6, 6) if encoder is None else encoder
    decoder = nn.Linear(3, 6) if decoder is None else decoder
    return VAETransformer(architecture=lambda *sizes: (encoder, decoder), **FAST).fit(X)


# ---- Right results -------------------------------------------------------------------


@pytest.mark.parametrize("architecture", [two_heads, two_heads_in_a_list])
def test_an_encoder_may_return_means_and_log_variances(architecture):
    joined = VAETransformer(architecture=linear_networks, **FAST).fit(X)
    separate = VAETransformer(architecture=architecture, **FAST).fit(X)
    assert separate.history_ == joined.history_
    np.testing.assert_array_equal(separate.transform(X), joined.transform(X))
    np.testing.assert_array_equal(separate.score_samples(X), joined.score_samples(X))


def test_networks_without_parameters_and_with_frozen_parameters_are_trained():
    frozen = nn.Linear(3, 6).requires_grad_(False)
    before = frozen.weight.clone()
    assert np.isfinite(fit_networks(Function(lambda x: x), frozen).score(X))
    assert torch.equal(frozen.weight, before)


def test_an_encoder_that_returns_its_input_is_right():
    vae = fit_networks(Function(lambda x: x))
    standardised = (X - X.mean(axis=0)) / X.std(axis=0)
    np.testing.assert_allclose(vae.transform(X), standardised[:, :3], rtol=1e-6)


def test_lazy_layers_have_the_initial_weights_of_the_seed():
    def lazy(n_features, latent_dim, n_outputs):
        return nn.LazyLinear(2 * latent_dim), nn.LazyLinear(n_outputs)

    state = torch.get_rng_state()
    first, second = (build_vae(6, 3, architecture=lazy, seed=1) for _ in range(2))
    assert torch.equal(first.encoder.weight, second.encoder.weight)
    assert torch.equal(torch.get_rng_state(), state)


# ---- Clear errors --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda x: (x[:, :3],) * 3, TypeError, r"maps \(n, 6\) to a tuple of 3, not to a tensor"),
        (lambda x: (x, x), ValueError, r"\(n, 6\), not to \(n, 3\) each, or one tensor"),
        (lambda x: {"mean": x}, TypeError, r"to an object of type dict"),
        (lambda x: x.numpy(), TypeError, r"to an object of type ndarray"),
        (lambda x: x[:, :4], ValueError, r"to \(n, 4\), not to \(n, 6\), or to a tuple"),
        (lambda x: x.sum(), ValueError, r"to \(\), not to \(n, 6\)"),
        (lambda x: x[:1], ValueError, r"to \(1, 6\) for n=2, not to \(n, 6\)"),
        (lambda x: (x[:, :3], x[:1, :3]), ValueError, r"\(1, 3\) for n=2, not to \(n, 3\) each"),
        (lambda x: x[0], ValueError, r"to \(6,\) for n=2, not to \(n, 6\)"),
        (lambda x: x.to_sparse(), TypeError, "returns a sparse tensor"),
        (lambda x: x * torch.nan, ValueError, "returns NaN or infinity"),
        (lambda x: x.long(), TypeError, r"torch\.int64, not floating-point"),
        (lambda x: x.mul_(2), ValueError, "changes its input in place.*inplace=False"),
        (nn.ReLU(inplace=True), ValueError, "changes its input in place.*inplace=False"),
        (nn.Linear(6, 6, device="meta"), ValueError, "fails on a float32 tensor"),
    ],
)
def test_the_error_for_other_outputs_of_an_encoder_names_the_encoder(function, error, message):
    with pytest.raises(error, match=f"The encoder that.*{message}"):
        fit_networks(Function(function))


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda z: (z, z), TypeError, r"maps \(n, 3\) to a tuple of 2, not to a tensor of shape"),
        (lambda z: z, ValueError, r"maps \(n, 3\) to \(n, 3\), not to \(n, 6\)"),
        (lambda z: torch.cat([z, z], -1) / 0, ValueError, "returns NaN or infinity"),
        (lambda z: torch.cat([z.exp_(), z], -1), ValueError, "changes its input in place"),
    ],
)
def test_the_error_for_other_outputs_of_a_decoder_names_the_decoder(function, error, message):
    with pytest.raises(error, match=f"The decoder that.*{message}"):
        fit_networks(decoder=Function(function))


def test_an_encoder_that_returns_other_parts_during_training_is_an_error():
    class Inconsistent(TwoHeads):
        def forward(self, x):
            mean, log_var = super().forward(x)
            return (mean, log_var, x) if self.training else (mean, log_var)

    with pytest.raises(TypeError, match=r"During training, the encoder.*a tuple of 3"):
        fit_networks(Inconsistent(nn.Linear(6, 6)))
