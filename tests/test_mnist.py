"""Training on MNIST."""

import pytest

from skvae import VAETransformer
from skvae.datasets import fetch_mnist
from skvae.training._batches import Rows
from skvae.training._trainer import evaluate

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def mnist(data_folder):
    """Training and test images, float32 in [0, 1]."""
    return [fetch_mnist(subset=subset, data_home=data_folder).data for subset in ("train", "test")]


def negative_bound(vae, X):
    """Return the mean negative lower bound at one draw per row, in nats."""
    return evaluate(vae.module_, Rows(X, vae.device_), seed=0)["loss"]


def fit(X, **params):
    return VAETransformer(2, likelihood="bernoulli", random_state=0, **params).fit(X)


def test_a_dense_network_reaches_the_bound_of_a_tutorial_in_three_epochs(mnist):
    train, test = mnist
    vae = fit(train, hidden_layer_sizes=(256,), batch_size=100, max_iter=3)
    assert negative_bound(vae, test) < 157  # the tutorial reached 165.8
    assert -vae.score(test[:1000]) < negative_bound(vae, test[:1000])
    # The loss in the history is the same quantity.
    assert vae.history_["loss"][-1] == pytest.approx(negative_bound(vae, train), abs=1)


def test_a_convolutional_network_reaches_the_bound_in_one_epoch(mnist):
    train, test = mnist
    vae = fit(
        train,
        architecture="conv",
        image_shape=(28, 28),
        hidden_layer_sizes=(32, 64, 16),
        batch_size=100,
        max_iter=1,
    )
    assert negative_bound(vae, test) < 161


def test_fourier_features_speed_up_training_with_two_latent_dimensions(mnist):
    train, test = mnist
    params = {"hidden_layer_sizes": (256, 128), "max_iter": 3}
    plain, fourier = (
        negative_bound(fit(train[:20_000], architecture=name, **params), test)
        for name in ("mlp", "fourier_mlp")
    )
    assert fourier < plain - 1


def test_bfloat16_gives_the_bound_of_float32(mnist):
    train, test = mnist
    params = {"hidden_layer_sizes": (256,), "batch_size": 100, "max_iter": 2}
    bounds = [
        negative_bound(fit(train[:20_000], precision=precision, **params), test)
        for precision in ("float32", "bfloat16")
    ]
    assert bounds[1] == pytest.approx(bounds[0], abs=0.5)
