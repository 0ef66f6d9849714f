"""The estimator checks of scikit-learn, for every estimator and likelihood."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit
from sklearn.base import clone
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from skvae import Gaussian, StudentT, TabularVAE, VAEImputer, VAEOutlierDetector, VAETransformer
from skvae.estimators._readers import result_dtype
from skvae.estimators._validation import validate_array

SMALL = {"hidden_layer_sizes": (16,), "max_iter": 2}


class SquashingVAE(VAETransformer):
    """VAETransformer that maps any data to the support of its likelihood."""

    def _validate(self, X, *, reset):
        encode = partial(self._encode_conditions, reset=reset)
        X = validate_array(self, X, reset=reset, encode=encode)
        dtype = result_dtype(X)
        if self.likelihood in ("bernoulli", "continuous_bernoulli"):
            return expit(X).astype(dtype)
        return np.rint(np.abs(X)).clip(max=1000).astype(dtype)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = False
        tags.input_tags.sparse = False
        return tags


ESTIMATORS = [
    TabularVAE(max_iter=2),
    TabularVAE(3, autoregressive=False, **SMALL),
    VAETransformer(max_iter=2),
    VAETransformer(
        likelihood=Gaussian("shared"), early_stopping=True, validation_fraction=0.5, **SMALL
    ),
    VAETransformer(likelihood=Gaussian("row"), **SMALL),
    VAETransformer(likelihood=Gaussian("full"), **SMALL),
    VAETransformer(likelihood=Gaussian(0.5), **SMALL),
    VAETransformer(3, likelihood=StudentT(df=2), hidden_layer_sizes=(), max_iter=2),
    VAEImputer(max_iter=2, n_importance_samples=20),
    VAEImputer(add_indicator=True, keep_empty_features=True, n_training_draws=1, **SMALL),
    VAEOutlierDetector(max_iter=10),
    VAEOutlierDetector(novelty=True, contamination=0.2, likelihood="gaussian", **SMALL),
    SquashingVAE(likelihood="bernoulli", **SMALL),
    SquashingVAE(likelihood="continuous_bernoulli", **SMALL),
    SquashingVAE(likelihood="poisson", **SMALL),
    SquashingVAE(likelihood="negative_binomial", **SMALL),
]


@parametrize_with_checks(ESTIMATORS)
def test_estimator_passes_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


# Some of these checks pass arrays to an estimator fitted on frames, and the reverse.
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.filterwarnings("ignore:X has feature names")
@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_dataframe_column_names_consistency,
        estimator_checks.check_estimators_partial_fit_n_features,
        estimator_checks.check_global_output_transform_pandas,
        estimator_checks.check_set_output_transform,
        estimator_checks.check_set_output_transform_pandas,
        estimator_checks.check_set_output_transform_polars,
        estimator_checks.check_transformer_get_feature_names_out,
        estimator_checks.check_transformer_get_feature_names_out_pandas,
    ],
    ids=lambda check: check.__name__,
)
@pytest.mark.parametrize(
    "estimator",
    [VAETransformer(likelihood="gaussian", **SMALL), TabularVAE(autoregressive=False, **SMALL)],
    ids=repr,
)
def test_estimator_passes_checks_outside_the_suite(estimator, check):
    check(type(estimator).__name__, clone(estimator))


@pytest.mark.parametrize("cls", [VAETransformer, VAEOutlierDetector, VAEImputer, TabularVAE])
def test_every_parameter_is_validated(cls):
    estimator_checks.check_param_validation(cls.__name__, cls(**SMALL))


@pytest.mark.parametrize("cls", [VAETransformer, VAEOutlierDetector, VAEImputer, TabularVAE])
def test_the_html_diagram_links_to_the_page_of_the_class(cls):
    estimator, name = cls(), cls.__name__
    url = f"https://skvae.readthedocs.io/page/generated/skvae.{name}.html"
    assert estimator._get_doc_link() == url
    assert f'href="{url}"' in estimator._repr_html_()
    assert name in (Path(__file__).parents[2] / "docs" / "api.md").read_text().split()
