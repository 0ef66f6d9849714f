"""A checkpoint belongs to one fit: all other fits are refused, and the difference is named."""

import functools
import os
import subprocess
import sys
import types

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from torch import nn

import helpers
import skvae
from helpers import assert_same_fit, linear_networks
from skvae import TabularVAE, VAEImputer, VAEOutlierDetector, VAETransformer
from skvae.likelihoods import Gaussian
from skvae.training._run_identity import identify_run

pytestmark = pytest.mark.torch_only

FAST = {**helpers.FAST, "max_iter": 2}
X = np.random.RandomState(0).normal(size=(60, 4))
BITS = (X > 0).astype(np.float32)
HOLES = np.where(X > 1, np.nan, X)
NAMES = ["a", "b", "c", "d"]
FRAME = pd.DataFrame(X, columns=NAMES)
MIXED = FRAME.round(1).assign(d=np.where(X[:, 3] > 0, "yes", "no"))


def changed(data, row, column, value):
    data = data.copy()
    if isinstance(data, pd.DataFrame):
        data.iloc[row, column] = value
    else:
        data[row, column] = value
    return data


# ---- Architectures and likelihoods ---------------------------------------------------


def make_networks(activation=nn.ELU, rate=0.1):
    """Return an architecture that refers to the variables of this call."""

    def networks(n_features, latent_dim, n_outputs):
        encoder = nn.Sequential(
            nn.Linear(n_features, 6), activation(), nn.Dropout(rate), nn.Linear(6, 2 * latent_dim)
        )
        return encoder, nn.Linear(latent_dim, n_outputs)

    return networks


def networks_of(n_features, latent_dim, n_outputs, *, activation=nn.ELU):
    encoder = nn.Sequential(nn.Linear(n_features, 6), activation(), nn.Linear(6, 2 * latent_dim))
    return encoder, nn.Linear(latent_dim, n_outputs)


class Networks:
    """An architecture whose state decides on the activation function."""

    def __init__(self, activation):
        self.activation = activation

    def __call__(self, *sizes):
        return networks_of(*sizes, activation=self.activation)


def module_of(source):
    """Return a new module, as if a file had been edited and imported in another process."""
    module = types.ModuleType("my_networks")
    exec(source, vars(module))
    return module


SOURCE = """
from torch import nn

class Layer(nn.Module):
    def forward(self, x):
        return {result}

def encoder(n_features, latent_dim):
    return nn.Sequential(nn.Linear(n_features, 2 * latent_dim), Layer())

def networks(n_features, latent_dim, n_outputs):
    return encoder(n_features, latent_dim), nn.Linear(latent_dim, n_outputs)
"""


def edited(result):
    return module_of(SOURCE.format(result=result)).networks


def likelihood_with(factor):
    class Custom(Gaussian):
        def log_prob(self, x, params):
            return factor * super().log_prob(x, params)

    return Custom()


class FixedBeta(VAETransformer):
    """Estimator that fixes a parameter, which `get_params` does not list."""

    beta_of_class = 1.0

    def __init__(self, latent_dim=2, *, max_iter=2, checkpoint=None, random_state=None):
        super().__init__(
            latent_dim,
            max_iter=max_iter,
            checkpoint=checkpoint,
            random_state=random_state,
            beta=self.beta_of_class,
            hidden_layer_sizes=(8,),
        )


def fixed_beta(value):
    vae = FixedBeta(random_state=0)
    vae.beta = value
    return vae


def subclass(body):
    return type("Mine", (VAETransformer,), body)(**FAST)


def vae(**options):
    return VAETransformer(**{**FAST, **options})


def custom(architecture):
    return vae(architecture=architecture)


def warm(seed):
    return vae(warm_start=True, random_state=seed).fit(X).set_params(random_state=0)


# ---- Other fits ----------------------------------------------------------------------

ROWS = "the values of X or their order"
COLUMNS = "the names or types of the columns of X"
CODE = "architecture"
# The first fit, another fit, and the difference.
OTHER_FITS = {
    "permuted rows": ((vae(), X), (vae(), X[::-1]), ROWS),
    "permuted values of a column": (
        (vae(), X),
        (vae(), np.column_stack([X[::-1, 0], X[:, 1:]])),
        ROWS,
    ),
    "one changed entry": ((vae(), X), (vae(), changed(X, 7, 2, X[7, 2] + 1e-12)), ROWS),
    "two swapped entries": (
        (vae(likelihood="bernoulli"), BITS),
        (vae(likelihood="bernoulli"), BITS[np.random.RandomState(1).permutation(60)]),
        ROWS,
    ),
    "fewer rows": ((vae(), X), (vae(), X[:-1]), "the number of rows of X"),
    "fewer columns": ((vae(), X), (vae(), X[:, :-1]), "the number of columns of X"),
    "dtype": ((vae(), BITS), (vae(), BITS.astype(np.float64)), "the dtype of X"),
    "sparse content": (
        (vae(), sparse.csr_matrix(BITS)),
        (vae(), sparse.csr_matrix(changed(BITS, 3, 1, 0.5))),
        ROWS,
    ),
    "other missing entries": (
        (VAEImputer(**FAST), HOLES),
        (VAEImputer(**FAST), np.where(X > 0.9, np.nan, X)),
        ROWS,
    ),
    "a changed category": (
        (TabularVAE(2, **FAST), MIXED),
        (TabularVAE(2, **FAST), changed(MIXED, 0, 3, "no" if MIXED["d"][0] == "yes" else "yes")),
        ROWS,
    ),
    "renamed categories": (
        (TabularVAE(2, **FAST), MIXED),
        (TabularVAE(2, **FAST), MIXED.replace({"d": {"yes": "ja"}})),
        COLUMNS,
    ),
    "other units of a column": (
        (TabularVAE(2, **FAST), MIXED),
        (TabularVAE(2, **FAST), MIXED.assign(a=2 * MIXED["a"])),
        COLUMNS,
    ),
    "feature names": ((vae(), FRAME), (vae(), FRAME.set_axis(list("wxyz"), axis=1)), COLUMNS),
    "order of equal columns": (
        (vae(), FRAME.assign(b=FRAME["a"])),
        (vae(), FRAME.assign(b=FRAME["a"])[["b", "a", "c", "d"]]),
        COLUMNS,
    ),
    "seed": ((vae(), X), (vae(random_state=1), X), "random_state"),
    "no seed": ((vae(), X), (vae(random_state=None), X), "random_state"),
    "random state": (
        (vae(random_state=np.random.RandomState(0)), X),
        (vae(random_state=np.random.RandomState(1)), X),
        "random_state",
    ),
    "advanced random state": (
        (vae(random_state=np.random.RandomState(0)), X),
        (vae(random_state=np.random.RandomState(np.random.RandomState(0).randint(9))), X),
        "random_state",
    ),
    "latent_dim": ((vae(), X), (vae(latent_dim=3), X), "latent_dim"),
    "two parameters": (
        (vae(), X),
        (vae(learning_rate_init=0.01, beta=2.0), X),
        "beta, learning_rate_init",
    ),
    "max_iter": ((vae(), X), (vae(max_iter=3), X), "max_iter"),
    "batch_size": ((vae(), X), (vae(batch_size=7), X), "batch_size"),
    "validation rows": (
        (vae(early_stopping=True), X),
        (vae(early_stopping=True, validation_fraction=0.3), X),
        "validation_fraction",
    ),
    "parameter of a likelihood": (
        (vae(likelihood=Gaussian(noise="shared")), X),
        (vae(likelihood=Gaussian(noise="row")), X),
        "likelihood",
    ),
    "custom likelihood": (
        (vae(likelihood=likelihood_with(1.0)), X),
        (vae(likelihood=likelihood_with(2.0)), X),
        "likelihood",
    ),
    "parameter that a subclass fixes": ((fixed_beta(1.0), X), (fixed_beta(2.0), X), "beta"),
    "class": ((vae(), X), (subclass({}), X), "the class of the estimator"),
    "method of a class": (
        (subclass({"rate": lambda self: 1}), X),
        (subclass({"rate": lambda self: 2}), X),
        "the class of the estimator",
    ),
    "another estimator": (
        (vae(), X),
        (VAEOutlierDetector(**FAST), X),
        "the class of the estimator",
    ),
    "named architecture": ((vae(), X), (vae(architecture="fourier_mlp"), X), CODE),
    "lambda": (
        (custom(lambda *sizes: networks_of(*sizes, activation=nn.ELU)), X),
        (custom(lambda *sizes: networks_of(*sizes, activation=nn.ReLU)), X),
        CODE,
    ),
    "function": ((custom(linear_networks), X), (custom(networks_of), X), CODE),
    "closure": ((custom(make_networks()), X), (custom(make_networks(nn.ReLU)), X), CODE),
    "dropout": ((custom(make_networks()), X), (custom(make_networks(rate=0.5)), X), CODE),
    "partial": (
        (custom(functools.partial(networks_of, activation=nn.ELU)), X),
        (custom(functools.partial(networks_of, activation=nn.SiLU)), X),
        CODE,
    ),
    "object": ((custom(Networks(nn.ELU)), X), (custom(Networks(nn.ReLU)), X), CODE),
    "bound method": (
        (custom(Networks(nn.ELU).__call__), X),
        (custom(Networks(nn.ReLU).__call__), X),
        CODE,
    ),
    "class in an edited module": ((custom(edited("x")), X), (custom(edited("-x")), X), CODE),
    "start of a warm start": ((warm(0), X), (warm(1), X), "the fitted model that training"),
    "warm start of a new model": ((warm(0), X), (vae(warm_start=True), X), "the fitted model"),
}


@pytest.mark.parametrize("name", OTHER_FITS)
def test_the_checkpoint_of_another_fit_is_an_error_that_names_the_difference(name, tmp_path):
    (first, data), (second, other), difference = OTHER_FITS[name]
    path = tmp_path / "run"
    copy_of(first).set_params(checkpoint=path).fit(data)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"belongs to another fit: it differs in .*{difference}"):
        copy_of(second).set_params(checkpoint=path).fit(other)
    assert path.read_bytes() == before


def copy_of(estimator):
    """Return a copy; the model of a fitted estimator is kept, for warm starts."""
    return estimator if hasattr(estimator, "module_") else clone_with_attributes(estimator)


def clone_with_attributes(estimator):
    copied = clone(estimator)
    vars(copied).update({k: v for k, v in vars(estimator).items() if k != "random_state"})
    return copied


@pytest.mark.parametrize("name", ["permuted rows", "closure", "custom likelihood", "seed"])
def test_only_the_named_difference_is_listed(name, tmp_path):
    (first, data), (second, other), difference = OTHER_FITS[name]
    clone(first).set_params(checkpoint=tmp_path / "run").fit(data)
    with pytest.raises(ValueError, match=f"it differs in {difference}\\. Choose"):
        clone(second).set_params(checkpoint=tmp_path / "run").fit(other)


# ---- The same fit --------------------------------------------------------------------

SAME_FITS = {
    "lambda": [
        (custom(lambda *sizes: networks_of(*sizes)), X),
        (custom(lambda *sizes: networks_of(*sizes)), X),
    ],
    "closure": [(custom(make_networks()), X), (custom(make_networks()), X)],
    "object": [(custom(Networks(nn.ELU)), X), (custom(Networks(nn.ELU)), X)],
    "partial": [(custom(functools.partial(networks_of)), X) for _ in range(2)],
    "module": [(custom(edited("x")), X), (custom(edited("x")), X)],
    "likelihood": [(vae(likelihood=likelihood_with(1.0)), X) for _ in range(2)],
    "numbers": [
        (vae(beta=1, hidden_layer_sizes=[8]), X),
        (vae(beta=np.float64(1), hidden_layer_sizes=np.array([8])), X),
    ],
    "sparse": [(vae(), BITS), (vae(), sparse.csr_matrix(BITS))],
    "column by column": [(vae(), X), (vae(), np.asfortranarray(X))],
    "big-endian": [(vae(), X), (vae(), X.astype(">f8"))],
    "frame": [(TabularVAE(2, **FAST), MIXED), (TabularVAE(2, **FAST), MIXED.copy())],
    "random state": [(vae(random_state=np.random.RandomState(0)), X) for _ in range(2)],
}


@pytest.mark.parametrize("name", SAME_FITS)
def test_the_same_fit_is_accepted(name, tmp_path, monkeypatch):
    (first, data), (second, same) = SAME_FITS[name]
    finished = clone(first).set_params(checkpoint=tmp_path / "run").fit(data)
    monkeypatch.setattr("skvae.training._trainer.Trainer.train_epoch", None)
    assert_same_fit(clone(second).set_params(checkpoint=tmp_path / "run").fit(same), finished)


SCRIPT = """
import functools

import numpy as np
from torch import nn

import my_networks
from skvae import VAETransformer
from skvae.likelihoods import Gaussian

KINDS = {"elu": nn.ELU, "relu": nn.ReLU}
NAMES = {"elu", "relu", "gelu"}


@functools.cache
def width():
    return 6


class Layer(nn.Module):
    scale = 2

    def forward(self, x):
        return self.scale * x


class Custom(Gaussian):
    @staticmethod
    def _scale():
        return {"a", "b", "c"}

    def log_prob(self, x, params):
        return super().log_prob(x, params)


class Mine(VAETransformer):
    @property
    def networks(self):
        return Layer


def make(kind):
    def networks(n_features, latent_dim, n_outputs):
        if kind not in NAMES and kind not in {"a", "b", "c"}:
            raise ValueError(kind)
        hidden = [nn.Linear(n_features, width()), Layer(), KINDS[kind]()]
        encoder = nn.Sequential(*hidden, my_networks.last(width(), latent_dim))
        return encoder, nn.Linear(latent_dim, n_outputs)

    return networks


vae = Mine(
    architecture=lambda *sizes: make("elu")(*sizes),
    likelihood=Custom(),
    max_iter=2,
    random_state=0,
    checkpoint="run",
)
X = np.random.RandomState(0).normal(size=(50, 3))
print(vae.fit(X).transform(X).tobytes().hex())
"""
MODULE = """
import logging

from torch import nn

log = logging.getLogger(__name__)


def last(n_in, latent_dim):
    log.debug("a layer of width %d", n_in)
    return nn.Linear(n_in, 2 * latent_dim)
"""


# Another import of the module in the same process, which is faster than another process.
FIT_AGAIN = """
from pathlib import Path
import sys

Path("my_networks.py").write_text('''{}''')
del sys.modules["my_networks"]
import my_networks

vae.fit(X)
"""


def test_code_has_the_same_digest_in_a_new_process(tmp_path):
    """Digests depend neither on the hash seed nor on the ids of objects."""
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "my_networks.py").write_text(MODULE)

    def run(seed, **options):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "script.py"]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, **options
        )

    first = run("1", check=True).stdout
    edited = MODULE.replace("2 * latent_dim", "latent_dim * 2")
    (tmp_path / "script.py").write_text("# a comment\n\n" + SCRIPT + FIT_AGAIN.format(edited))
    (tmp_path / "my_networks.py").write_text(MODULE + "\n\nunused = 1\n")
    second = run("2")
    assert second.stdout == first
    assert "it differs in architecture" in second.stderr


def test_a_longdouble_has_a_digest_of_its_value():
    """The padding of the type is undefined."""
    rows = np.ones((3, 2), dtype=np.longdouble)
    padded = rows.copy()
    padded.view(np.uint8)[:, 10:16] = 7
    first, second = (identify_run(object, {}, 0, r, None, None) for r in (rows, padded))
    assert first == second


def test_a_version_of_torch_that_differs_is_a_warning(tmp_path, monkeypatch):
    vae(checkpoint=tmp_path / "run").fit(X)
    monkeypatch.setattr("torch.__version__", "0.1")
    with pytest.warns(UserWarning, match=r"written with .* The model may differ"):
        vae(checkpoint=tmp_path / "run").fit(X)


def test_code_is_compared_within_one_version_of_python_only(tmp_path, monkeypatch):
    custom(networks_of).set_params(checkpoint=tmp_path / "code").fit(X)
    vae(checkpoint=tmp_path / "plain").fit(X)
    monkeypatch.setattr("sys.version_info", (3, 99, 0))
    vae(checkpoint=tmp_path / "plain").fit(X)
    with pytest.raises(ValueError, match="differs in the version of Python"):
        custom(networks_of).set_params(checkpoint=tmp_path / "code").fit(X)


def test_rows_are_not_read_for_an_identity_without_need(monkeypatch):
    monkeypatch.setattr("skvae.estimators._base.identify_fit", None)
    assert skvae.VAETransformer(**FAST).fit(X).n_iter_ == 2
