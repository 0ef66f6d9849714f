"""Parameters of the estimators: names, order, defaults and descriptions."""

import ast
import copy
import inspect
import pickle
import re

import numpy as np
import pytest
from sklearn.base import clone

from skvae import TabularVAE, VAEImputer, VAEOutlierDetector, VAETransformer

ESTIMATORS = [VAETransformer, VAEOutlierDetector, VAEImputer, TabularVAE]

# Parameters in the order of the constructors, with their defaults.
TRAINING = {
    "solver": "adam",
    "alpha": "auto",
    "learning_rate": "cosine",
    "learning_rate_init": "auto",
    "batch_size": "auto",
    "max_iter": 100,
    "early_stopping": False,
    "validation_fraction": 0.1,
    "n_iter_no_change": "auto",
    "tol": 1e-4,
    "n_importance_samples": 16,
    "warm_start": False,
    "checkpoint": None,
    "on_interrupt": "keep",
    "verbose": 0,
    "random_state": None,
    "device": "auto",
    "precision": "auto",
}
NETWORKS = {
    "hidden_layer_sizes": "auto",
    "activation": "gelu",
    "architecture": "mlp",
    "image_shape": None,
    "likelihood": "gaussian",
}
OBJECTIVE = {
    "beta": 1.0,
    "kl_warmup": 0.0,
    "prior": "normal",
    "prior_std": 1.0,
    "n_training_draws": 1,
    "encoder_dropout": 0.0,
    "condition_columns": None,
}


def without(parameters, *names):
    return {name: value for name, value in parameters.items() if name not in names}


CONSTRUCTORS = {
    VAETransformer: {
        "latent_dim": 2,
        **NETWORKS,
        "likelihood": "auto",
        **OBJECTIVE,
        **TRAINING,
        "max_iter": "auto",
    },
    VAEOutlierDetector: {
        "latent_dim": 8,
        "novelty": False,
        "contamination": "auto",
        "trim": "auto",
        **NETWORKS,
        "likelihood": "auto",
        **OBJECTIVE,
        **TRAINING,
        "max_iter": "auto",
    },
    VAEImputer: {
        "latent_dim": 10,
        "missing_values": "nan",
        "add_indicator": False,
        "keep_empty_features": False,
        "prior": "normal",
        "n_training_draws": 20,
        "encoder_dropout": 0.0,
        "condition_columns": None,
        "n_importance_samples": 200,
        **NETWORKS,
        "hidden_layer_sizes": (128, 128),
        "activation": "tanh",
        **without(TRAINING, "n_importance_samples"),
        "alpha": 0.0,
        "learning_rate_init": 0.002,
        "max_iter": "auto",
    },
    TabularVAE: {
        "latent_dim": 16,
        "column_types": None,
        "autoregressive": True,
        **without(NETWORKS, "architecture", "image_shape", "likelihood"),
        **OBJECTIVE,
        **TRAINING,
        "alpha": 0.0,
        "max_iter": 40,
    },
}


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_constructors_keep_the_order_and_the_defaults_of_their_parameters(cls):
    parameters = inspect.signature(cls).parameters.values()
    defaults = {p.name: "nan" if p.name == "missing_values" else p.default for p in parameters}
    assert list(defaults.items()) == list(CONSTRUCTORS[cls].items())
    first, *others = parameters
    assert first.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert {p.kind for p in others} == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_no_attribute_looks_like_a_parameter_without_being_one(cls):
    every_name = {name for constructor in CONSTRUCTORS.values() for name in constructor}
    estimator = cls()
    parameters = set(estimator.get_params())
    assert parameters == set(CONSTRUCTORS[cls])
    assert {name for name in every_name if hasattr(estimator, name)} == parameters


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_constraints_name_the_parameters_and_nothing_else(cls):
    assert set(cls._parameter_constraints) == set(CONSTRUCTORS[cls])


# ---- Names of other libraries --------------------------------------------------------


@pytest.mark.parametrize("cls", ESTIMATORS)
@pytest.mark.parametrize(
    ("other", "name"),
    [
        ("n_components", "latent_dim"),
        ("n_latent", "latent_dim"),
        ("epochs", "max_iter"),
        ("lr", "learning_rate_init"),
        ("hidden_dims", "hidden_layer_sizes"),
        ("optimizer", "solver"),
        ("seed", "random_state"),
    ],
)
def test_the_error_for_a_name_of_other_libraries_has_the_name_here(cls, other, name):
    message = f"{cls.__name__} has no parameter '{other}': the name is '{name}'"
    with pytest.raises(TypeError, match=message):
        cls(**{other: 3})
    with pytest.raises(ValueError, match=message):
        cls().set_params(**{other: 3})


def test_other_unknown_names_are_the_usual_errors():
    with pytest.raises(TypeError, match="unexpected keyword argument 'n_jobs'"):
        VAETransformer(n_jobs=2)
    with pytest.raises(TypeError, match="unexpected keyword argument 'discrete_columns'"):
        VAETransformer(discrete_columns=["a"])
    with pytest.raises(ValueError, match="Invalid parameter 'n_jobs'"):
        VAETransformer().set_params(n_jobs=2)
    with pytest.raises(TypeError, match="unexpected keyword argument 'epochs'"):
        LinearVAE(epochs=2)  # has no parameter max_iter


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [("prior", "Vamp", "vamp"), ("solver", "adams", "adam"), ("max_iter", "AUTO", "auto")],
)
def test_the_error_for_a_misspelt_value_names_the_value(name, value, meant):
    message = rf"'{name}' parameter of TabularVAE must be one of .*Did you mean '{meant}'\?"
    with pytest.raises(ValueError, match=message):
        TabularVAE(**{name: value}).fit(np.eye(4))


def test_errors_list_the_possible_values_in_order():
    names = "{'auto', 'float32', 'bfloat16'}"
    with pytest.raises(ValueError, match=f"must be a str among {names}. Got 'double'"):
        VAETransformer(precision="double").fit(np.eye(4))


class PCALike(VAETransformer):
    """A subclass with a parameter of another library."""

    def __init__(self, n_components=2, max_iter=1):
        super().__init__(n_components, max_iter=max_iter, hidden_layer_sizes=(), random_state=0)
        self.n_components = n_components


class Renaming(VAETransformer):
    """A subclass that translates parameters of another library."""

    def __init__(self, latent_dim=2, **others):
        super().__init__(others.pop("n_components", latent_dim))


def test_a_subclass_may_have_a_parameter_of_another_library():
    model = clone(PCALike(n_components=3)).set_params(n_components=1)
    assert model.get_params() == {"n_components": 1, "max_iter": 1}
    with pytest.raises(ValueError, match="PCALike has no parameter 'epochs'"):
        PCALike().set_params(epochs=3)
    assert Renaming(n_components=4).latent_dim == 4


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_estimators_are_copied_cloned_and_pickled_with_their_parameters(cls):
    estimator = cls(3, max_iter=7)
    for other in (
        clone(estimator),
        copy.deepcopy(estimator),
        pickle.loads(pickle.dumps(estimator)),
    ):
        assert repr(other) == repr(estimator)


# ---- Descriptions --------------------------------------------------------------------

# Descriptions that differ for a reason.
DIFFERENT = {
    (VAEOutlierDetector, "likelihood"),  # "auto"
    (VAEOutlierDetector, "max_iter"),  # at most 60 epochs
    (VAEImputer, "architecture"),  # without a linear path
    (VAEImputer, "hidden_layer_sizes"),
    (VAEImputer, "learning_rate"),  # no linear start
    (VAEImputer, "learning_rate_init"),
    (VAEImputer, "batch_size"),
    (VAEImputer, "max_iter"),
    (VAEImputer, "likelihood"),  # "mixed"
    (VAEImputer, "n_importance_samples"),  # more methods draw
    (TabularVAE, "hidden_layer_sizes"),  # no convolutions
    (TabularVAE, "learning_rate"),  # no linear start
    (TabularVAE, "learning_rate_init"),
    (TabularVAE, "batch_size"),
    (TabularVAE, "max_iter"),
}


def described(cls):
    """Return the type line and the description of each documented parameter."""
    section = cls.__doc__.split("Parameters\n    ----------\n")[1]
    section = section.split("\n\n    Attributes\n")[0]
    entries = re.split(r"^    (?=\w+ : )", section, flags=re.MULTILINE)[1:]
    described = {}
    for entry in entries:
        head, text = entry.split("\n", 1)
        name, line = head.split(" : ")
        described[name] = line, text.strip()
    return described


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_every_parameter_is_described_with_its_default(cls):
    entries = described(cls)
    assert list(entries) == list(CONSTRUCTORS[cls])
    for name, (line, text) in entries.items():
        shown = line.rpartition("default=")[2]
        shown = "nan" if shown == "np.nan" else ast.literal_eval(shown)
        assert shown == CONSTRUCTORS[cls][name], name
        assert len(text) > 10


@pytest.mark.parametrize("cls", ESTIMATORS[1:])
def test_descriptions_of_shared_parameters_do_not_drift_apart(cls):
    expected, own = described(VAETransformer), described(cls)
    for name in set(own) & set(expected):
        same = own[name][1] == expected[name][1]
        assert same != ((cls, name) in DIFFERENT), name


@pytest.mark.parametrize("cls", [VAETransformer, TabularVAE])
def test_inverse_transform_needs_no_routing(cls):
    assert list(inspect.signature(cls.inverse_transform).parameters) == ["self", "X", "conditions"]
    assert not hasattr(cls, "set_inverse_transform_request")


def test_a_tabular_vae_is_no_transformer_of_arrays():
    assert not issubclass(TabularVAE, VAETransformer)
    assert not hasattr(VAEImputer, "sample")


class LinearVAE(VAETransformer):
    """A subclass with a single parameter, which fixes other parameters."""

    def __init__(self, latent_dim=2):
        super().__init__(
            latent_dim,
            hidden_layer_sizes=(),
            beta=3.0,
            prior_std=2.0,
            solver="rmsprop",
            max_iter=2,
            random_state=0,
        )


def test_a_subclass_may_fix_parameters():
    X = np.random.RandomState(0).normal(size=(20, 3))
    fixed = LinearVAE().fit(X)
    plain = VAETransformer(**{name: getattr(fixed, name) for name in VAETransformer().get_params()})
    assert np.array_equal(fixed.transform(X), plain.fit(X).transform(X))
