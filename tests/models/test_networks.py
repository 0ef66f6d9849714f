"""Encoders and decoders: shapes, initial weights and custom architectures."""

import math
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from time import sleep

import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

from helpers import linear_networks, normal, same_weights, seeded, unchanged_random_states
from skvae.models._convolutions import _ImagesToRows, _RowsToImages
from skvae.models._networks import build_networks, resolve_architecture, widest_layer
from skvae.models._perceptrons import ACTIVATIONS, FREQUENCY_SCALE, FourierFeatures
from skvae.utils import autocast

pytestmark = pytest.mark.torch_only

LATENT_DIM = 3


def build(
    architecture="mlp",
    *,
    n_features=6,
    n_params=1,
    image_shape=None,
    hidden_layer_sizes=(5,),
    activation="relu",
    seed=0,
):
    resolved = resolve_architecture(
        architecture,
        n_features=n_features,
        image_shape=image_shape,
        hidden_layer_sizes=hidden_layer_sizes,
        activation=activation,
    )
    return build_networks(
        resolved,
        n_features=n_features,
        latent_dim=LATENT_DIM,
        n_outputs=n_features * n_params,
        generator=seeded(seed),
    )


def batch_norm_pair(n_features, latent_dim, n_outputs, *, width=4):
    """Build custom networks with a parameter and with batch normalisation."""
    encoder = nn.Sequential(
        nn.Linear(n_features, width), nn.BatchNorm1d(width), nn.Linear(width, 2 * latent_dim)
    )
    return encoder, nn.Linear(latent_dim, n_outputs)


def assert_maps(encoder, decoder, n_features, n_outputs):
    """Check the output shapes of both networks, for one row and for several rows."""
    for n in (1, 4):
        x, z = torch.zeros(n, n_features), torch.zeros(n, LATENT_DIM)
        assert encoder(x).shape == (n, 2 * LATENT_DIM)
        assert decoder(z).shape == (n, n_outputs)


def weights(networks):
    return [w for network in networks for w in network.state_dict().values()]


def equal(first, second):
    """Compare two pairs of networks bit for bit."""
    return all(map(same_weights, first, second))


CONV = {
    "architecture": "conv",
    "n_features": 35,
    "image_shape": (5, 7),
    "hidden_layer_sizes": (3, 4, 6),
}
every_architecture = pytest.mark.parametrize(
    "options",
    [
        {"architecture": "mlp"},
        {"architecture": "fourier_mlp"},
        CONV,
        {"architecture": linear_networks},
    ],
    ids=["mlp", "fourier_mlp", "conv", "callable"],
)

# ---- mlp -----------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(), (5,), (7, 3), "auto"])
@pytest.mark.parametrize("n_params", [1, 2])
def test_mlp_maps_rows_to_codes_and_codes_to_parameters(sizes, n_params):
    networks = build(hidden_layer_sizes=sizes, n_params=n_params)
    assert_maps(*networks, 6, 6 * n_params)


def test_mlp_decoder_mirrors_the_encoder():
    encoder, decoder = build(hidden_layer_sizes=(7, 4))
    widths = [
        [(layer.in_features, layer.out_features) for layer in network if hasattr(layer, "weight")]
        for network in (encoder, decoder)
    ]
    assert widths == [[(6, 7), (7, 4), (4, 6)], [(3, 4), (4, 7), (7, 6)]]


def test_mlp_without_hidden_layers_is_linear():
    encoder, decoder = build(hidden_layer_sizes=())
    assert [type(layer) for layer in (*encoder, *decoder)] == [nn.Linear, nn.Linear]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_follows_each_hidden_layer(activation):
    for network in build(hidden_layer_sizes=(4, 4), activation=activation):
        found = [type(layer) for layer in network if not isinstance(layer, nn.Linear)]
        assert found == [ACTIVATIONS[activation]] * 2


@pytest.mark.parametrize(
    ("name", "at_minus_1"),
    [
        ("identity", -1),
        ("logistic", 0.26894),
        ("tanh", -0.76159),
        ("relu", 0),
        ("leaky_relu", -0.01),
        ("elu", -0.63212),
        ("gelu", -0.15866),
        ("silu", -0.26894),
        ("softplus", 0.31326),
    ],
)
def test_activation_is_the_function_of_its_name(name, at_minus_1):
    assert_allclose(ACTIVATIONS[name]()(torch.tensor(-1.0)), at_minus_1, atol=1e-5)


@pytest.mark.parametrize("architecture", ["mlp", "fourier_mlp", "conv"])
def test_the_last_layer_of_the_decoder_has_no_bias(architecture):
    _, decoder = build(**CONV | {"architecture": architecture})
    last = [layer for layer in decoder if hasattr(layer, "weight")][-1]
    assert last.bias is None


@pytest.mark.parametrize("sizes", [(0,), (5, 0), (-1,), (2.5,)])
@pytest.mark.parametrize("architecture", ["mlp", "fourier_mlp", "conv"])
def test_a_width_other_than_a_positive_integer_is_an_error(architecture, sizes):
    with pytest.raises(ValueError, match="hidden_layer_sizes must be positive integers") as error:
        build(**CONV | {"architecture": architecture, "hidden_layer_sizes": sizes})
    assert str(sizes) in str(error.value)


# ---- fourier_mlp ---------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(), (5,), (7, 3), "auto"])
@pytest.mark.parametrize("n_params", [1, 2])
def test_fourier_mlp_maps_rows_to_codes_and_codes_to_parameters(sizes, n_params):
    networks = build("fourier_mlp", hidden_layer_sizes=sizes, n_params=n_params)
    assert_maps(*networks, 6, 6 * n_params)


def test_fourier_mlp_has_the_encoder_and_the_widths_of_mlp():
    (plain, plain_decoder), (encoder, decoder) = (
        build(name, hidden_layer_sizes=(7, 4)) for name in ("mlp", "fourier_mlp")
    )
    assert str(encoder) == str(plain)
    features, first, *rest = decoder
    assert first.in_features == features.n_features == LATENT_DIM + 2 * 64
    assert str(rest) == str(list(plain_decoder[1:]))


def test_fourier_features_are_the_code_and_its_sines_and_cosines():
    features = build("fourier_mlp")[1][0].double()
    z = torch.randn(5, LATENT_DIM, dtype=torch.float64)
    code, *waves = features(z).split([LATENT_DIM, 64, 64], dim=1)
    assert_allclose(code, z)
    for row in range(5):
        for wave in (0, 17, 63):
            phase = float(z[row] @ features.frequencies[:, wave])
            expected = [torch.tensor(phase).sin(), torch.tensor(phase).cos()]
            assert_allclose([w[row, wave] for w in waves], expected, atol=1e-6)


@pytest.mark.parametrize("latent_dim", [1, 2, 16])
def test_the_variance_of_phases_does_not_depend_on_the_latent_dimension(latent_dim):
    features, draw = FourierFeatures(latent_dim, 2000), seeded()
    features.draw(draw)
    phases = torch.randn(2000, latent_dim, generator=draw) @ features.frequencies
    assert_allclose(phases.var(), FREQUENCY_SCALE**2, rtol=0.1)


def test_fourier_features_keep_their_precision_under_autocast():
    features, z = build("fourier_mlp")[1][0], 3 * torch.ones(1, LATENT_DIM)
    with torch.autocast("cpu", torch.bfloat16):
        low = features(z)
    assert low.dtype == torch.float32
    assert torch.equal(low, features(z))


def test_frequencies_are_not_parameters():
    _, decoder = build("fourier_mlp")
    assert not any("frequencies" in name for name, _ in decoder.named_parameters())


# ---- conv ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "image_shape",
    [(28, 28), (8, 8), (5, 7), (1, 1), (1, 9), (3, 5, 7), (3, 8, 8), (2, 1, 1), (1, 28, 28)],
    ids=str,
)
@pytest.mark.parametrize("sizes", [(2, 4), (2, 3, 4), (2, 3, 4, 5, 4)], ids=str)
@pytest.mark.parametrize("n_params", [1, 2])
def test_conv_accepts_images_of_any_size_and_number_of_channels(image_shape, sizes, n_params):
    n_features = int(torch.Size(image_shape).numel())
    networks = build(
        "conv",
        n_features=n_features,
        image_shape=image_shape,
        hidden_layer_sizes=sizes,
        n_params=n_params,
    )
    assert_maps(*networks, n_features, n_features * n_params)


def test_conv_has_automatic_sizes():
    networks = build("conv", n_features=64, image_shape=(8, 8), hidden_layer_sizes="auto")
    assert_maps(*networks, 64, 64)


@pytest.mark.parametrize("image_shape", [(2, 2), (4, 4), (9, 1), (3, 2), (1, 5)])
def test_conv_gradients_of_small_images_are_right_in_bfloat16(image_shape):
    n_features = math.prod(image_shape)
    networks = build(
        "conv", n_features=n_features, image_shape=image_shape, hidden_layer_sizes=(16, 16, 16, 8)
    )
    parameters = [p for network in networks for p in network.parameters()]
    inputs = normal(64, n_features).float(), normal(64, LATENT_DIM, seed=1).float()

    def gradients(dtype):
        with autocast(torch.device("cpu"), dtype):
            outputs = [network(rows) for network, rows in zip(networks, inputs, strict=True)]
            loss = sum(output.float().square().sum() for output in outputs)
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)])

    expected = gradients(torch.float32)
    for _ in range(3):
        assert torch.cosine_similarity(gradients(torch.bfloat16), expected, dim=0) > 0.99


def test_conv_reshapes_rows_to_images():
    encoder, _ = build(**CONV)
    stage = encoder[0](torch.arange(35.0)[None])
    assert torch.equal(stage, torch.arange(35.0).reshape(1, 1, 5, 7))


def test_conv_outputs_are_local():
    # A single impulse before the last layer, which doubles the image, changes a 3x3
    # neighbourhood in every channel and in each block of parameters.
    _, decoder = build(
        "conv", n_features=2 * 9 * 9, image_shape=(2, 9, 9), hidden_layer_sizes=(3, 4), n_params=2
    )
    *_, last, flatten = decoder
    nothing = torch.zeros(1, 3, 5, 5)
    impulse = nothing.clone()
    impulse[..., 2, 3] = 1
    touched = (flatten(last(impulse)) != flatten(last(nothing))).reshape(2, 2, 9, 9)
    expected = torch.zeros(9, 9, dtype=torch.bool)
    expected[3:6, 5:8] = True
    assert (touched == expected).all()


@pytest.mark.parametrize("sizes", [(), (5,)])
def test_conv_without_a_stage_and_a_dense_layer_is_an_error(sizes):
    with pytest.raises(ValueError, match=r"hidden_layer_sizes=\(filters, \.\.\., dense\)"):
        build(**CONV | {"hidden_layer_sizes": sizes})


def test_conv_without_image_shape_is_an_error():
    with pytest.raises(ValueError, match="architecture='conv' needs image_shape="):
        build(**CONV | {"image_shape": None})


@pytest.mark.parametrize("image_shape", [(5, 8), (2, 5, 7)])
def test_an_image_shape_of_another_size_is_an_error(image_shape):
    with pytest.raises(ValueError, match=r"image_shape=.* but X has 35 features"):
        build(**CONV | {"image_shape": image_shape})


@pytest.mark.parametrize(
    "image_shape", [(), (35,), (7, 1, 5, 7), (-5, -7), (-1, -5, 7), (5.0, 7.0)], ids=str
)
def test_an_invalid_image_shape_is_an_error(image_shape):
    with pytest.raises(ValueError, match="image_shape"):
        build(**CONV | {"image_shape": image_shape})


@pytest.mark.parametrize(
    ("image_shape", "advice"),
    [
        ((16, 16, 3), r"image_shape=\(3, 16, 16\) and X\.reshape\(-1, 16, 16, 3\)\.transpose"),
        ((8, 12, 4), r"image_shape=\(4, 8, 12\) and X\.reshape\(-1, 8, 12, 4\)\.transpose"),
        ((28, 28, 1), r"channels first. Pass image_shape=\(28, 28\)\."),
    ],
)
def test_an_image_shape_with_the_channels_last_is_an_error_with_the_transposition(
    image_shape, advice
):
    n_features = int(torch.Size(image_shape).numel())
    with pytest.raises(ValueError, match=advice):
        build("conv", n_features=n_features, image_shape=image_shape, hidden_layer_sizes=(2, 4))


@pytest.mark.parametrize("image_shape", [(3, 8, 3), (4, 4, 4), (3, 3, 1), (8, 4, 4), (16, 5, 6)])
def test_an_image_shape_that_may_have_the_channels_first_is_read_in_this_order(image_shape):
    n_features = int(torch.Size(image_shape).numel())
    encoder, _ = build(
        "conv", n_features=n_features, image_shape=image_shape, hidden_layer_sizes=(2, 4)
    )
    assert encoder[1].in_channels == image_shape[0]


def test_the_error_for_an_image_of_another_size_names_both_sizes():
    with pytest.raises(ValueError, match=r"\(5, 6\) holds 30 values, but X has 35 features"):
        build(**CONV | {"image_shape": (5, 6)})


def test_flattening_images_makes_no_copy():
    images = torch.rand(4, 3, 5, 7).to(memory_format=torch.channels_last)
    rows = _ImagesToRows()(images)
    assert rows.data_ptr() == images.data_ptr()  # no copy
    assert torch.equal(_RowsToImages((3, 5, 7))(rows), images)


# ---- Initial weights -----------------------------------------------------------------


@every_architecture
def test_initial_weights_depend_on_the_seed_alone(options):
    first = build(**options, seed=1)
    torch.rand(7)  # moves the global state
    assert equal(first, build(**options, seed=1))
    pairs = zip(weights(first), weights(build(**options, seed=2)), strict=True)
    drawn = [(a, b) for a, b in pairs if a.any()]  # some biases are zero
    assert drawn
    assert not any(torch.equal(a, b) for a, b in drawn)


@every_architecture
def test_global_random_states_are_unchanged(options):
    with unchanged_random_states():
        build(**options)


@pytest.mark.parametrize(
    "options", [{"hidden_layer_sizes": (400,), "n_features": 300}, CONV], ids=["mlp", "conv"]
)
def test_initial_weights_are_uniform_up_to_one_over_the_root_of_fan_in(options):
    for network in build(**options):
        for layer in network.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                bound = layer.weight[0].numel() ** -0.5
                largest = layer.weight.abs().max()
                assert 0.8 * bound < largest <= bound
                assert layer.bias is None or layer.bias.abs().max() <= bound


def slow_pair(n_features, latent_dim, n_outputs):
    """Build networks while other threads run between seeding and drawing."""
    encoder = nn.Linear(n_features, 2 * latent_dim)
    sleep(0.002)
    return encoder, nn.Linear(latent_dim, n_outputs)


@pytest.mark.parametrize(
    "options",
    [{"architecture": "mlp"}, {"architecture": "fourier_mlp"}, CONV, {"architecture": slow_pair}],
    ids=["mlp", "fourier_mlp", "conv", "callable"],
)
def test_threads_that_build_in_parallel_get_the_weights_of_their_seeds(options):
    expected = [build(**options, seed=seed) for seed in range(4)]
    barrier = Barrier(4)

    def build_many(seed):
        barrier.wait()
        return [build(**options, seed=seed) for _ in range(10)]

    with unchanged_random_states(), ThreadPoolExecutor(4) as pool:
        built = list(pool.map(build_many, range(4)))
    for of_seed, one in zip(built, expected, strict=True):
        assert all(equal(networks, one) for networks in of_seed)


# ---- Custom architectures ------------------------------------------------------------


def test_a_custom_architecture_receives_the_sizes():
    seen = []

    def architecture(n_features, latent_dim, n_outputs):
        seen.append((n_features, latent_dim, n_outputs))
        return linear_networks(n_features, latent_dim, n_outputs)

    networks = build(architecture, n_features=6, n_params=2)
    assert seen == [(6, LATENT_DIM, 12)]
    assert_maps(*networks, 6, 12)


def test_the_check_of_custom_networks_does_not_change_their_state():
    encoder, decoder = build(batch_norm_pair)
    assert encoder.training
    assert decoder.training
    assert encoder[1].num_batches_tracked == 0


def test_a_partial_of_an_architecture_sets_a_parameter():
    narrow = partial(batch_norm_pair, width=4)
    networks = build(narrow, seed=3)
    assert equal(networks, build(batch_norm_pair, seed=3))
    # The initial batch normalisation is the identity.
    assert_allclose(networks[0][1].weight.detach(), 1)
    assert_allclose(networks[0][1].running_var, 1)


def test_networks_of_a_partial_are_checked():
    with pytest.raises(TypeError, match="must return a tuple"):
        build(partial(lambda n_features, latent_dim, n_outputs: None))


@pytest.mark.parametrize(
    "returned",
    [None, nn.Linear(6, 6), [nn.Linear(6, 6), nn.Linear(3, 6)], (nn.Linear(6, 6),), (abs, abs)],
    ids=["None", "one module", "list", "one-tuple", "functions"],
)
def test_an_architecture_that_returns_no_pair_of_modules_is_a_type_error(returned):
    with pytest.raises(TypeError, match=r"must return a tuple \(encoder, decoder\)") as error:
        build(lambda n_features, latent_dim, n_outputs: returned)
    assert repr(returned) in str(error.value)


@pytest.mark.parametrize(
    ("encoder", "decoder", "message"),
    [
        (nn.Linear(6, 3), nn.Linear(3, 6), r"encoder .* maps \(n, 6\) to .*3.*, not to \(n, 6\)"),
        (nn.Linear(6, 6), nn.Linear(3, 7), r"decoder .* maps \(n, 3\) to .*7.*, not to \(n, 6\)"),
        (nn.Flatten(0), nn.Linear(3, 6), r"encoder .*, not to \(n, 6\)"),
    ],
)
def test_the_error_for_outputs_of_a_wrong_shape_names_both_shapes(encoder, decoder, message):
    with pytest.raises(ValueError, match=message):
        build(lambda n_features, latent_dim, n_outputs: (encoder, decoder))


class _Crash(nn.Module):
    def forward(self, x):
        raise RuntimeError("out of cheese")


class _ToDouble(nn.Module):
    def forward(self, x):
        return x.double()


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (nn.Linear(5, 6), r"float32 tensor of shape \(2, 6\): .*shapes"),
        (nn.Sequential(_ToDouble(), nn.Linear(6, 6)), r"float32 tensor of shape \(2, 6\): .*dtype"),
        (_Crash(), r"float32 tensor of shape \(2, 6\): out of cheese"),
    ],
    ids=["inputs", "dtype", "crash"],
)
def test_the_error_for_a_failing_network_has_the_reason(encoder, message):
    with pytest.raises(ValueError, match=message):
        build(lambda n_features, latent_dim, n_outputs: (encoder, nn.Linear(3, 6)))


def test_the_weights_of_custom_networks_become_float32():
    networks = nn.Linear(6, 6).double(), nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6)).half()
    for network in build(lambda n_features, latent_dim, n_outputs: networks):
        assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert networks[1][1].num_batches_tracked.dtype == torch.int64


def test_an_architecture_that_raises_does_not_affect_random_states_or_later_networks():
    def crash(n_features, latent_dim, n_outputs):
        torch.rand(3)
        raise RuntimeError("out of cheese")

    with unchanged_random_states(), pytest.raises(RuntimeError, match="out of cheese"):
        build(crash)
    assert_maps(*build(linear_networks), 6, 6)


def test_gradients_of_images_of_one_pixel_are_the_same_in_bfloat16_each_time():
    encoder, _ = build("conv", n_features=4, image_shape=(2, 2), hidden_layer_sizes=(3, 2, 4))
    x = torch.randn(20, 4, generator=seeded(0))
    gradients = []
    for _ in range(20):
        scratch = [torch.full((n,), torch.nan) for n in (50, 500, 5000)]
        del scratch  # whatever is not initialised is NaN
        encoder.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            encoder(x).float().square().sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in encoder.parameters()]))
    assert all(torch.equal(gradient, gradients[0]) for gradient in gradients)


@pytest.mark.parametrize(
    ("architecture", "sizes", "width"),
    [("mlp", (5, 9, 3), 9), ("mlp", (), 6), ("fourier_mlp", (5,), 6), ("conv", (7, 8), 8)],
)
def test_the_widest_layer_is_linear(architecture, sizes, width):
    image_shape = (2, 3) if architecture == "conv" else None
    encoder, _ = build(architecture, hidden_layer_sizes=sizes, image_shape=image_shape)
    assert widest_layer(encoder) == width


def test_a_network_without_linear_layers_has_width_1():
    assert widest_layer(nn.Identity()) == 1
