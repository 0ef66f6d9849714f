"""Exported ONNX files in onnxruntime, compared with the estimators."""

import copy
import json
import logging
import sys
from functools import cache

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose
from onnx.reference import ReferenceEvaluator
from scipy import special, stats
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from torch import nn

import skvae
from helpers import full_disk, run_python, unchanged_random_states
from skvae import Gaussian, StudentT, TabularVAE, VAEImputer, VAEOutlierDetector, VAETransformer
from skvae.export import _operators, to_onnx
from skvae.priors import Flow, Mixture, VampPrior

FAST = {
    "latent_dim": 2,
    "hidden_layer_sizes": (6,),
    "activation": "tanh",
    "max_iter": 2,
    "random_state": 0,
}
BATCHES = (1, 2, 7, 1000)
NAMES = ["b", "a", "ä", "d"]
# In float32, sums in another order and rounding of the input differ.
FLOAT32 = {"rtol": 1e-5, "atol": 1e-5}
FLOAT64 = {"rtol": 1e-10, "atol": 1e-10}


class TwoHeads(nn.Module):
    """An encoder that returns a tuple, and whose results differ in training mode."""

    def __init__(self, n_features, latent_dim):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(n_features, 6), nn.BatchNorm1d(6), nn.Mish())
        self.mean, self.log_var = (nn.Linear(6, latent_dim) for _ in range(2))

    def forward(self, x):
        x = self.body(x)
        return self.mean(x), self.log_var(x)


def custom_networks(n_features, latent_dim, n_outputs):
    """Build networks whose results differ in training mode."""
    decoder = nn.Sequential(
        nn.Linear(latent_dim, 6), nn.LayerNorm(6), nn.Dropout(0.5), nn.Linear(6, n_outputs)
    )
    return TwoHeads(n_features, latent_dim), decoder


def networks_of_many_activations(n_features, latent_dim, n_outputs):
    """Build networks with each activation that onnxruntime lacks in float64."""
    activations = nn.GELU(), nn.ELU(0.7), nn.LeakyReLU(0.3), nn.Softplus(2.0)
    decoder = nn.Sequential(nn.Linear(latent_dim, 6), *activations, nn.Linear(6, n_outputs))
    return nn.Linear(n_features, 2 * latent_dim), decoder


# An export takes seconds, so most models combine several options.
MODELS = {
    "mlp": {"activation": "gelu", "prior_std": 3.0, "prior": Flow(2, 4)},
    "linear": {"hidden_layer_sizes": (), "likelihood": Gaussian(noise="shared", floor=0.1)},
    "full": {"likelihood": Gaussian("full")},
    "fixed": {"likelihood": StudentT(noise=0.5)},
    "activations": {
        "likelihood": StudentT("row", df="feature"),
        "architecture": networks_of_many_activations,
    },
    "dependent": {"likelihood": StudentT("row", df="feature")},
    "conv": {
        "likelihood": "bernoulli",
        "architecture": "conv",
        "image_shape": (4, 5),
        "hidden_layer_sizes": (2, 3, 4),
    },
    "grey": {"likelihood": "continuous_bernoulli", "architecture": "fourier_mlp"},
    "poisson": {"likelihood": "poisson", "prior": Mixture(3)},
    "negative_binomial": {"likelihood": "negative_binomial", "prior": VampPrior(3)},
}


@pytest.fixture(scope="module")
def rows():
    """Rows for each model, by name: real numbers on many scales, grey values and counts."""
    rng = np.random.RandomState(0)
    real = (rng.normal(size=(1000, 4)) + 1) * [1e-3, 1, 10, 1e4]
    grey = rng.uniform(size=(1000, 20))
    counts = rng.negative_binomial(2, 0.1, size=(1000, 4)).astype(float)
    total = np.c_[real, real[:, 1] + real[:, 2]]
    kinds = {"conv": grey, "grey": grey, "dependent": total, "full": total}
    kinds |= dict.fromkeys(["poisson", "negative_binomial"], counts)
    return {name: kinds.get(name, real) for name in MODELS}


@pytest.fixture(scope="module")
def fitted(rows):
    return {
        name: VAETransformer(**{**FAST, **params}).fit(rows[name][:100])
        for name, params in MODELS.items()
    }


def runner(path):
    """Check a file, and return a function that runs the file."""
    onnx.checker.check_model(path, full_check=True)
    session = onnxruntime.InferenceSession(path)
    (given,) = session.get_inputs()
    names = [answer.name for answer in session.get_outputs()]
    assert given.name == ("Z" if "X_mean" in names else "X")
    assert given.shape[0] == "n_samples"

    def run(rows):
        return dict(zip(names, session.run(None, {given.name: rows}), strict=True))

    run.content = path.read_bytes()
    return run


@pytest.fixture(scope="module")
def exported(fitted, tmp_path_factory):
    """Return a function that exports a model and returns a function that runs the file."""

    @cache
    def export(model, **params):
        path = tmp_path_factory.mktemp("export") / "part.onnx"
        to_onnx(fitted.get(model, model), path, **params)
        return runner(path)

    return export


def assert_parity(run, X, expected, tolerance):
    """Compare results for batches of several sizes with results of the estimator."""
    for n in BATCHES:
        answers = run(X[:n])
        for name, values in expected.items():
            assert answers[name].dtype == X.dtype == values.dtype
            assert answers[name].shape == values[:n].shape
            # Tolerances are relative to the largest value of each column.
            scale = np.abs(values).max(axis=0)
            assert_allclose(answers[name] / scale, values[:n] / scale, **tolerance)


# ---- Parity --------------------------------------------------------------------------


def test_the_encoder_returns_the_posterior(rows, fitted, exported):
    X = rows["dependent"]
    run = exported("dependent", part="encoder", dtype="float64")
    expected = dict(zip(("mean", "std"), fitted["dependent"].encode(X), strict=True))
    assert list(run(X)) == ["mean", "std"]
    assert_parity(run, X, expected, FLOAT64)


@pytest.mark.torch_only
@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("conv", "float32"),
        ("grey", "float32"),
        ("poisson", "float32"),
        ("activations", "float64"),
        ("dependent", "float64"),
        ("full", "float64"),
        ("negative_binomial", "float64"),
    ],
)
def test_the_decoder_returns_the_mean(name, dtype, fitted, exported):
    Z = np.random.RandomState(1).normal(scale=3, size=(1000, 2)).astype(dtype)
    run = exported(name, part="decoder", dtype=dtype)
    expected = {"X_mean": fitted[name].inverse_transform(Z)}
    assert_parity(run, Z, expected, FLOAT32 if dtype == "float32" else FLOAT64)


@pytest.mark.torch_only
@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("linear", "float64"),
        ("dependent", "float64"),
        ("full", "float64"),
        ("grey", "float32"),
        ("poisson", "float32"),
        ("negative_binomial", "float32"),
    ],
)
def test_the_score_part_returns_the_bound(name, dtype, rows, fitted, exported):
    X = rows[name].astype(dtype)
    run = exported(name, part="score", dtype=dtype)
    expected = {"score": fitted[name].score_samples(X)}
    tolerance = FLOAT32 if dtype == "float32" else FLOAT64
    if name == "full":
        # The noise of the column that others determine is as small as rounding errors.
        tolerance = {"rtol": 1e-6, "atol": 1e-6}
    assert_parity(run, X, expected, tolerance)


@pytest.mark.torch_only
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", FLOAT32), ("float64", FLOAT64)])
def test_scores_of_certain_pixels_are_the_bound(dtype, tolerance, rows, exported):
    X = (rows["conv"] > 0.5).astype(dtype)
    X[:, 0], X[:, 1] = 0, 1
    vae = VAETransformer(likelihood="bernoulli", **FAST).fit(X)
    # onnxruntime rounds the sigmoid of such logits to 0 and 1.
    vae.module_.bias.data[..., :2] = torch.tensor([-40.0, 40.0])
    run = exported(vae, part="score", dtype=dtype)
    assert_parity(run, X, {"score": vae.score_samples(X)}, tolerance)
    X[0, :2] = [1, 0]
    assert run(X)["score"][0] < -70
    assert_parity(run, X, {"score": vae.score_samples(X)}, tolerance)


def test_float64_convolutions_are_right_in_the_reference_runtime(rows, fitted, tmp_path):
    X = rows["conv"][:3]
    to_onnx(fitted["conv"], tmp_path / "conv.onnx", dtype="float64")
    mean, std = ReferenceEvaluator(str(tmp_path / "conv.onnx")).run(None, {"X": X})
    assert_allclose(mean, fitted["conv"].encode(X)[0], **FLOAT64)
    assert_allclose(std, fitted["conv"].encode(X)[1], **FLOAT64)


# ---- Parameters of the likelihood ----------------------------------------------------


@pytest.mark.torch_only
@pytest.mark.parametrize("name", ["linear", "fixed"])
def test_log_noise_is_in_the_units_of_x(name, rows, fitted, exported):
    vae, X = fitted[name], rows[name][:5]
    Z = vae.transform(X)
    answers = exported(name, part="decoder", dtype="float64")(Z)
    assert list(answers) == ["X_mean", "log_noise"]
    noise = np.exp(answers["log_noise"])
    assert noise.shape == (4,)
    if name == "fixed":
        assert_allclose(noise, 0.5, rtol=1e-6)  # the parameter is stored in float32
        reference = stats.t(df=4, loc=answers["X_mean"], scale=noise)
    else:
        reference = stats.norm(loc=answers["X_mean"], scale=noise)
    module = copy.deepcopy(vae.module_).double()
    with torch.no_grad():
        z, x = torch.from_numpy(Z / vae.prior_std), module.standardize(torch.from_numpy(X))
        log_p = module.log_likelihood(x, z)
    assert_allclose(reference.logpdf(X).sum(axis=1), log_p, rtol=1e-9)


@pytest.mark.torch_only
def test_whitened_differences_to_the_mean_have_the_density_of_the_row(rows, fitted, exported):
    vae, X = fitted["full"], rows["full"][:5]
    Z = vae.transform(X)
    answers = exported("full", part="decoder", dtype="float64")(Z)
    assert list(answers) == ["X_mean", "whitening"]
    whitening = answers["whitening"]
    residual = (X - answers["X_mean"]) @ whitening.T
    expected = stats.norm.logpdf(residual).sum(axis=1) + np.log(np.diag(whitening)).sum()
    module = copy.deepcopy(vae.module_).double()
    with torch.no_grad():
        z, x = torch.from_numpy(Z / vae.prior_std), module.standardize(torch.from_numpy(X))
        log_p = module.log_likelihood(x, z)
    assert_allclose(expected, log_p, rtol=1e-6)


@pytest.mark.torch_only
def test_learned_degrees_of_freedom_are_a_value_for_each_column(rows, fitted, exported):
    vae, X = fitted["activations"], rows["activations"][:5]
    Z = vae.transform(X)
    answers = exported("activations", part="decoder", dtype="float64")(Z)
    assert list(answers) == ["X_mean", "log_noise", "df"]
    assert answers["df"].shape == (4,)
    assert answers["log_noise"].shape == (5, 4)
    reference = stats.t(answers["df"], answers["X_mean"], np.exp(answers["log_noise"]))
    module = copy.deepcopy(vae.module_).double()
    with torch.no_grad():
        z, x = torch.from_numpy(Z / vae.prior_std), module.standardize(torch.from_numpy(X))
        log_p = module.log_likelihood(x, z)
    assert_allclose(reference.logpdf(X).sum(axis=1), log_p, rtol=1e-9)


@pytest.mark.torch_only
@pytest.mark.parametrize(
    ("name", "dtype", "parameter", "mean"),
    [
        ("conv", "float32", "logits", special.expit),
        ("poisson", "float32", "log_rate", np.exp),
        ("negative_binomial", "float64", "log_mean", np.exp),
    ],
)
def test_parameters_of_the_likelihood_match_the_mean(name, dtype, parameter, mean, exported):
    answers = exported(name, part="decoder", dtype=dtype)(np.eye(2, dtype=dtype))
    assert_allclose(mean(answers[parameter]), answers["X_mean"], rtol=1e-5)


@pytest.mark.torch_only
def test_log_dispersion_matches_the_negative_binomial_of_scipy(fitted, exported):
    Z = np.eye(2)
    answers = exported("negative_binomial", part="decoder", dtype="float64")(Z)
    mean, theta = answers["X_mean"], np.exp(answers["log_dispersion"])
    assert theta.shape == (4,)
    x = torch.arange(5, dtype=torch.float64)[:, None, None]
    module = copy.deepcopy(fitted["negative_binomial"].module_).double()
    with torch.no_grad():
        log_p = module.likelihood.log_prob(x, module.decode(torch.from_numpy(Z)))
    reference = stats.nbinom(theta, theta / (theta + mean)).logpmf(x.numpy())
    assert_allclose(log_p, reference, rtol=1e-9)


# ---- Detectors and imputers ----------------------------------------------------------


@pytest.fixture(scope="module")
def detector(rows):
    detector = VAEOutlierDetector(**FAST | MODELS["mlp"])
    return detector.fit(pd.DataFrame(rows["mlp"][:100], columns=NAMES))


def test_the_score_part_of_a_detector_returns_scores_and_decisions(rows, detector, exported):
    X = rows["mlp"].astype("float32")
    frame = pd.DataFrame(X, columns=NAMES)
    run = exported(detector, part="score")
    expected = {
        "score": detector.score_samples(frame),
        "decision": detector.decision_function(frame),
    }
    assert list(run(X)) == list(expected)
    assert_parity(run, X, expected, FLOAT32)
    clear = np.abs(expected["decision"]) > 1e-3
    is_inlier = np.where(run(X)["decision"] < 0, -1, 1)
    assert np.array_equal(is_inlier[clear], detector.predict(frame)[clear])


@pytest.mark.torch_only
@pytest.mark.parametrize("mark", [np.nan, -7.5])
def test_the_encoder_of_an_imputer_accepts_missing_entries(mark, rows, exported):
    X = rows["mlp"].astype("float32")
    X = np.where(np.random.RandomState(0).uniform(size=X.shape) < 0.3, np.float32(mark), X)
    X[:, 1] = mark  # a column without observed entries
    imputer = VAEImputer(**FAST, missing_values=mark).fit(X[:100])
    run = exported(imputer, part="encoder")
    expected = dict(zip(("mean", "std"), imputer.encode(X), strict=True))
    assert_parity(run, X, expected, FLOAT32)


@pytest.mark.torch_only
def test_an_imputer_with_a_full_noise_exports_all_parts_but_its_score(rows, exported, tmp_path):
    X = rows["full"].astype("float32")
    X[np.random.RandomState(0).uniform(size=X.shape) < 0.3] = np.nan
    imputer = VAEImputer(**FAST, likelihood=Gaussian("full")).fit(X[:100])
    mean = exported(imputer, part="encoder")(X)["mean"]
    assert_allclose(mean, imputer.encode(X)[0], **FLOAT32)
    assert exported(imputer, part="decoder")(mean)["X_mean"].shape == X.shape
    with pytest.raises(ValueError, match=r"which ONNX does not have\. Export"):
        to_onnx(imputer, tmp_path / "score.onnx", part="score")


# ---- The file ------------------------------------------------------------------------


def test_metadata_describe_the_estimator(detector, exported):
    model = onnx.load_from_string(exported(detector, part="score").content)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(metadata.pop("feature_names")) == NAMES
    assert metadata == {
        "skvae_version": skvae.__version__,
        "estimator": "VAEOutlierDetector",
        "part": "score",
        "likelihood": "StudentT(noise='feature', floor=0.4, df=2)",
    }


@pytest.mark.torch_only
@pytest.mark.parametrize(("part", "other"), [("encoder", b"decoder"), ("decoder", b"encoder")])
def test_a_file_contains_one_part_and_no_paths(part, other, exported):
    content = exported("dependent", part=part, dtype="float64").content
    assert part.encode() in content
    assert other not in content
    assert b".py" not in content


def test_a_full_disk_keeps_the_old_file(fitted, exported, tmp_path, monkeypatch):
    path = tmp_path / "encoder.onnx"
    path.write_bytes(b"old")
    model = onnx.load_from_string(exported("dependent", part="encoder", dtype="float64").content)
    monkeypatch.setattr("skvae.export._onnx._export", lambda *_: onnx_ir.from_proto(model))
    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        to_onnx(fitted["linear"], path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.torch_only
def test_export_of_custom_networks_changes_no_state(rows, tmp_path, capfd):
    path, X = tmp_path / "part.onnx", rows["mlp"].astype("float32")
    vae = VAETransformer(**FAST, architecture=custom_networks).fit(X[:50])
    vae.module_.decoder.train()
    weights = copy.deepcopy(vae.module_.state_dict())
    level = logging.getLogger("torch.onnx").level
    with unchanged_random_states():
        to_onnx(vae, str(path))
    assert all(torch.equal(weights[name], w) for name, w in vae.module_.state_dict().items())
    assert all(w.requires_grad for w in vae.module_.parameters())
    assert vae.module_.decoder.training
    assert not vae.module_.encoder.training
    assert logging.getLogger("torch.onnx").level == level
    assert capfd.readouterr() == ("", "")
    expected = dict(zip(("mean", "std"), vae.encode(X), strict=True))
    assert_parity(runner(path), X, expected, FLOAT32)


@pytest.mark.slow
def test_the_first_export_of_a_process_prints_nothing(tmp_path):
    program = """
import sys
import numpy as np
from skvae import VAETransformer
vae = VAETransformer(max_iter=1).fit(np.eye(3))
import skvae.export
assert not {"onnx", "onnxscript", "onnxruntime"} & set(sys.modules)
skvae.export.to_onnx(vae, sys.argv[1])
"""
    run = run_python(program, tmp_path / "part.onnx", flags=["-W", "error"])
    assert (run.stdout, run.stderr) == ("", "")


# ---- Errors --------------------------------------------------------------------------


def test_the_error_for_an_invalid_parameter_names_the_parameter(fitted, tmp_path):
    with pytest.raises(ValueError, match=r"part must be one of 'encoder', .*; got 'codes'"):
        to_onnx(fitted["mlp"], tmp_path / "x", part="codes")
    with pytest.raises(ValueError, match="dtype must be one of 'float32', 'float64'; got 'half'"):
        to_onnx(fitted["mlp"], tmp_path / "x", dtype="half")
    with pytest.raises(NotFittedError):
        to_onnx(VAETransformer(), tmp_path / "x")
    with pytest.raises(TypeError, match=r"estimator of skvae; got PCA\(\)"):
        to_onnx(PCA().fit(np.eye(3)), tmp_path / "x")


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_estimators_of_mixed_frames_are_an_error(part, tmp_path):
    frame = pd.DataFrame({"a": [1.5, 2.5, 3.5] * 9, "b": ["u", "v", "w"] * 9})
    fast = {**FAST, "max_iter": 1}
    fitted = [
        TabularVAE(**fast).fit(frame),
        TabularVAE(**fast).fit(frame[["a"]].to_numpy()),
        VAEImputer(**fast, likelihood="mixed").fit(frame),
    ]
    for estimator in fitted:
        kind = r" with likelihood='mixed'" if isinstance(estimator, VAEImputer) else ""
        name = type(estimator).__name__
        with pytest.raises(TypeError, match=f"{name}{kind} reads columns .* Pickle the estimator"):
            to_onnx(estimator, tmp_path / "x", part=part)
    assert not list(tmp_path.iterdir())


class DataDependent(nn.Linear):
    """Layer whose graph depends on the data."""

    def forward(self, x):
        return super().forward(x if x.sum() > 0 else -x)


def test_a_network_that_cannot_be_traced_is_an_error_without_other_output(rows, tmp_path, capfd):
    def data_dependent(n_features, latent_dim, n_outputs):
        return DataDependent(n_features, 2 * latent_dim), nn.Linear(latent_dim, n_outputs)

    vae = VAETransformer(2, architecture=data_dependent, max_iter=1).fit(rows["mlp"][:50])
    with pytest.raises(
        ValueError, match="encoder of this VAETransformer cannot be exported to ONNX"
    ):
        to_onnx(vae, tmp_path / "x")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_an_error_names_the_missing_package_and_its_extra(package, fitted, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"needs {package}, .* with the extra 'onnx'"):
        to_onnx(fitted["mlp"], tmp_path / "x")


def test_an_error_names_the_outdated_package(fitted, tmp_path, monkeypatch):
    def failing(*args, **kwargs):
        raise RuntimeError("step 2 failed") from ImportError("No module named 'onnxscript.new'")

    monkeypatch.setattr("torch.onnx.export", failing)
    with pytest.raises(ImportError, match=r"newer version of onnxscript.* \(No module named"):
        to_onnx(fitted["linear"], tmp_path / "x")


# ---- Operators -----------------------------------------------------------------------


def test_operators_agree_with_scipy():
    x = np.linspace(-8, 8, 4001)
    assert_allclose(_operators._erf(torch.from_numpy(x)).numpy(), special.erf(x), atol=1e-13)
    assert_allclose(_operators._expm1(torch.from_numpy(x)).numpy(), special.expm1(x), rtol=1e-14)
    x = np.linspace(-700, 700, 4001)
    log_sigmoid = _operators._log_sigmoid(torch.from_numpy(x)).numpy()
    assert_allclose(log_sigmoid, special.log_expit(x), rtol=1e-14)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-7), ("float64", 1e-14)])
def test_log_gamma_agrees_with_scipy(dtype, tolerance):
    x = np.logspace(-6, 9, 4001).astype(dtype)
    ours, reference = _operators._lgamma(torch.from_numpy(x)).numpy(), special.gammaln(x)
    assert ours.dtype == x.dtype
    assert_allclose(ours, reference, rtol=tolerance, atol=tolerance)
