"""Factors of the learning rate."""

import pytest
import torch

from helpers import build_vae
from skvae import Gaussian
from skvae.training._learning_rates import group_decaying_weights, group_parameters

pytestmark = pytest.mark.torch_only


def factors(likelihood, latent_dim=2, **options):
    """Return the factor of each parameter by name."""
    module = build_vae(5, latent_dim, likelihood=likelihood, **options)
    names = {parameter: name for name, parameter in module.named_parameters()}
    groups = group_parameters(module)
    assert len({factor for factor, _ in groups}) == len(groups)
    return {names[p]: factor for factor, parameters in groups for p in parameters}, module


def test_all_networks_of_standardised_columns_have_the_same_rate():
    found, module = factors("gaussian")
    assert found == {
        name: 5.0 if name.startswith("global_params") else 1.0
        for name, _ in module.named_parameters()
    }


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous_bernoulli"])
def test_decoders_of_logits_learn_faster_most_of_all_from_the_code(likelihood):
    found, module = factors(likelihood, hidden_layer_sizes=(4, 3))
    assert found == {
        "bias": 1.0,
        **{f"encoder.{name}": 1.0 for name, _ in module.encoder.named_parameters()},
        "decoder.0.weight": 8.0,
        "decoder.0.bias": 8.0,
        "decoder.2.weight": 2.0,
        "decoder.2.bias": 2.0,
        "decoder.4.weight": 2.0,
    }


@pytest.mark.parametrize(("latent_dim", "factor"), [(20, 8.0), (25, 5.12), (40, 2.0), (100, 2.0)])
def test_codes_of_many_dimensions_have_lower_factors(latent_dim, factor):
    found, _ = factors("bernoulli", latent_dim, hidden_layer_sizes=(4,))
    assert found["decoder.0.weight"] == pytest.approx(factor)


def test_weights_decay_by_the_factors_of_their_learning_rates():
    ((factor, weights),) = group_decaying_weights(factors(Gaussian("row"))[1])
    assert (factor, len(weights)) == (1.0, 3)
    found, module = factors(Gaussian("full"))
    (first, _), (second, of_noise) = group_decaying_weights(module)
    assert (first, second) == (1.0, 5.0)
    for name in ("log_noise", "whitening_change"):
        assert found[f"global_params.{name}"] == second
        assert any(w.data_ptr() == module.global_params[name].data_ptr() for w in of_noise)
    assert group_decaying_weights(factors(Gaussian(), hidden_layer_sizes=())[1]) == []


def test_parameters_without_gradients_are_left_out():
    found, module = factors(Gaussian(0.5))
    assert found.keys() == {name for name, p in module.named_parameters() if p.requires_grad}
    assert len(found) < len(list(module.parameters()))


def test_groups_have_the_same_order_for_each_module_of_a_configuration():
    shapes = [
        [[p.shape for p in group] for _, group in group_parameters(factors("bernoulli")[1])]
        for _ in range(2)
    ]
    assert shapes[0] == shapes[1]
    assert torch.Size([]) not in shapes[0]
