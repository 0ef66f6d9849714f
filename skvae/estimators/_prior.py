"""Results of fitted estimators that concern the prior: components, densities and quantiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.stats import norm
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ..models import VAE, importance_weighted_draws
from ..priors import Components, resolve_prior
from ..utils import isolate, seeded_generator
from ._inference import InferenceMixin, as_dtype

# Number of draws from a learned prior to estimate quantiles.
_N_DRAWS = 10_000


def _has_components(estimator: Any) -> bool:
    prior = estimator.module_.prior if hasattr(estimator, "module_") else estimator.prior
    if isinstance(resolve_prior(prior), Components):
        return True
    raise AttributeError(
        f"prior={prior!r} has no components: set prior to 'mixture' or 'vamp', and fit again."
    )


class PriorMixin(InferenceMixin):
    """Methods of a fitted estimator with a prior."""

    @available_if(_has_components)
    @isolate
    def component_probabilities(self, X: Any) -> np.ndarray:
        """Return the probability of each component of the prior for each row.

        Clusters, for a prior that is a mixture: ``component_probabilities(X).argmax(axis=1)``. The
        probabilities p(c | x) are the means of p(c | z) over draws from the posterior, with
        importance weights. Available for ``prior="mixture"`` and ``prior="vamp"``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data within the support of the likelihood.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_components)
            Each row sums to 1.
        """

        def probabilities(module: VAE, x: Tensor, eps: Tensor) -> Tensor:
            z, weights = importance_weighted_draws(module, x, eps.unsqueeze(1))
            joint = module.prior.log_joint(z, module.prior_params())  # type: ignore[attr-defined]
            return (weights.unsqueeze(-1) * joint.softmax(-1)).sum(0)

        check_is_fitted(self)
        bound = self._with_draws(probabilities)
        return self._compute(self._read(X), bound, n_draws=self.n_importance_samples)

    def _prior_quantiles(self, probabilities: np.ndarray) -> np.ndarray:
        """Return quantiles of each code dimension under the prior, (latent_dim, n)."""
        module = self.module_
        if not module.learns_prior:
            quantiles = np.tile(norm.ppf(probabilities), (module.latent_dim, 1))
        else:
            generator = seeded_generator(0, module.bias.device)
            with torch.no_grad():
                draws = module.sample_prior(_N_DRAWS, generator).double().cpu().numpy()
            quantiles = np.quantile(draws, probabilities, axis=0).T
        return module.prior_std * quantiles

    @isolate
    def _log_prior(self, Z: np.ndarray) -> np.ndarray:
        """Return the log-density of codes under the prior, (n,), in nats."""
        module = as_dtype(self.module_, "float64")
        z = torch.tensor(Z / module.prior_std).to(module.bias)
        with torch.no_grad():
            log_prob = module.prior.log_prob(z, module.prior_params())
        return log_prob.cpu().numpy() - module.latent_dim * np.log(module.prior_std)
