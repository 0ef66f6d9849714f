"""Factors of the learning rate, and of weight decay, for groups of parameters."""

from __future__ import annotations

from torch import Tensor, nn

from ..models import VAE, decaying_weights, departures_of_noise

# Factor for noise levels and dispersions that no network predicts. For nearly collinear columns,
# these parameters move far from their initial values, in steps of a fixed size.
_GLOBAL_PARAMS = 5.0
# Factors for the decoder of values without standardisation: logits and log-rates range over ten
# units or more, so the decoder has a longer way to go than for standardised values, in steps of the
# same size. The layers that read the code have the fewest inputs, so a step of the same size in
# each weight changes their outputs least. On MNIST, bounds improve by one to four nats. Larger
# factors for all layers make `fourier_mlp` unstable. With more than twenty dimensions, the factor
# falls with their square: otherwise, more dimensions become inactive early in training.
_DECODER = 2.0
_DECODER_INPUT = 8.0
_DECODER_INPUT_DIMENSIONS = 20


def group_parameters(module: VAE) -> list[tuple[float, list[nn.Parameter]]]:
    """Return the trainable parameters in groups with the factors of their learning rates.

    The order of groups and parameters depends on the configuration of the module only.
    """
    factors = {parameter: 1.0 for parameter in module.parameters() if parameter.requires_grad}
    if module.likelihood.standardize is None:
        factors.update(dict.fromkeys(module.decoder.parameters(), _DECODER))
        ratio = min(1.0, _DECODER_INPUT_DIMENSIONS / module.latent_dim)
        input_factor = max(_DECODER, _DECODER_INPUT * ratio**2)
        for layer in module.decoder.modules():
            if isinstance(layer, nn.Linear) and layer.in_features == module.n_decoder_inputs:
                factors.update(dict.fromkeys(layer.parameters(), input_factor))
    for parameter in module.global_params.values():
        factors[parameter] = _GLOBAL_PARAMS
    groups: dict[float, list[nn.Parameter]] = {}
    for parameter, factor in factors.items():
        if parameter.requires_grad:
            groups.setdefault(factor, []).append(parameter)
    return list(groups.items())


def group_decaying_weights(module: VAE) -> list[tuple[float, list[Tensor]]]:
    """Return the weights that decay in groups with the factors of their learning rates."""
    groups = [(1.0, decaying_weights(module)), (_GLOBAL_PARAMS, departures_of_noise(module))]
    return [(factor, weights) for factor, weights in groups if weights]
