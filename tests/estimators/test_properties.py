"""Any input gives a finite result of the right shape, or an error that says what is wrong.

The default profile tries 120 inputs, the same in each run. The profile "long" draws 12,000 new
inputs: ``pytest tests/estimators/test_properties.py --hypothesis-profile=long``.
"""

import re
import warnings
from collections import Counter
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from sklearn.base import clone

from skvae import (
    Gaussian,
    NegativeBinomial,
    StudentT,
    TabularVAE,
    VAEImputer,
    VAEOutlierDetector,
    VAETransformer,
)

pytestmark = pytest.mark.torch_only

# Messages of the errors that the inputs below may cause.
_REASONS = re.compile(
    r"Training diverged in epoch \d+: the loss is not finite\. Lower learning_rate_init"
    r"|The values in column \d+ are too large: their variance overflows"
    r"|(Negative|Unsuitable) values in data passed to \w+: .* in column \d+, row \d+"
    r"|contains (NaN|infinity).*: the first (missing value )?is in column \d+, row \d+"
    r"|contains integers beyond 2\*\*53.*: the first is \d+ in column \d+, row \d+"
    r"|early_stopping=True needs at least 2 samples"
    r"|validation_fraction=0.99 of \d+ samples leaves no samples to train on"
    r"|All entries of X are missing"
    r"|The result for row \d+ overflows float(32|64): the row lies too far"
    r"|Column '?\w+'? of X can't be used: "
    r"(it contains infinity|it has integers beyond 2\*\*53|Unable to parse string)"
)
_INTERNALS = re.compile(r"mat1|size mismatch|[Tt]ensor|torch\.|dtype=|element \d|broadcast")


@pytest.fixture
def outcomes():
    """Count results and errors, and check that at least half of the inputs have a result."""
    counts = Counter()
    yield counts
    assert counts["result"] >= counts["error"]


@contextmanager
def clear_errors(outcomes):
    """Catch errors that say what is wrong with the data, and no others."""
    try:
        with warnings.catch_warnings():
            # scikit-learn sums X to find infinities, and NumPy warns of inf - inf.
            warnings.filterwarnings("ignore", "invalid value encountered in reduce")
            warnings.filterwarnings("ignore", "No value of column")
            yield
        outcomes["result"] += 1
    except (TypeError, ValueError) as error:
        message = str(error)
        if not _REASONS.search(message) or _INTERNALS.search(message):
            raise
        outcomes["error"] += 1
        event(_REASONS.search(message).group()[:40])


# ---- Data ----------------------------------------------------------------------------

SCALES = st.sampled_from([1.0, 1e-30, 1e-10, 1e-3, 1e3, 1e10, 1e30])
KINDS = ["normal", "integers", "binary", "constant", "duplicate", "collinear", "outlier", "zeros"]
DTYPES = ["f8", "f4", "f2", ">f8", ">f4", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?", "O"]
EXTREMES = st.sampled_from([0.0, 1.0, -1.0, 1e-30, 1e3, -1e6, 1e15, 1e30, -1e30, 1e100, 1e300])
LAYOUTS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "strided": lambda X: np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3],
    "reversed": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
    "list": lambda X: X.tolist(),
}


@st.composite
def numbers(draw, n, d):
    """Draw a table of float64 with columns of all kinds."""
    rng = np.random.RandomState(draw(st.integers(0, 10**6)))
    columns = []
    for _ in range(d):
        kind = draw(st.sampled_from(KINDS))
        column = {
            "integers": rng.randint(-5, 50, size=n),
            "binary": rng.randint(2, size=n),
            "constant": np.ones(n),
            "zeros": np.zeros(n),
        }.get(kind, rng.normal(size=n))
        column = column * draw(SCALES)
        if kind == "outlier":
            column[rng.randint(n)] = draw(EXTREMES)
        elif kind in ("duplicate", "collinear") and columns:
            column = columns[-1] * (1 if kind == "duplicate" else -3.7)
        columns.append(column)
    return np.column_stack(columns)


def as_dtype(X, dtype):
    """Return X in the dtype, clipped to the range of an integer dtype."""
    dtype = np.dtype(dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        # float64 rounds the largest integer up, out of the range.
        X = X.clip(float(limits.min), np.nextafter(float(limits.max), 0))
    with np.errstate(over="ignore"):
        return X.astype(dtype)


def suited(X, likelihood):
    """Return X with all values in the support of the likelihood."""
    name = likelihood if isinstance(likelihood, str) else type(likelihood).__name__.lower()
    if "bernoulli" in name:
        return abs(X) / max(abs(X).max(), 1e-300)
    return np.rint(abs(X)) if name in ("poisson", "negative_binomial", "negativebinomial") else X


@st.composite
def tables(draw, likelihood):
    """Draw a table of any shape, dtype and layout, mostly within the support."""
    n, d = draw(st.integers(1, 12)), draw(st.integers(1, 5))
    X = draw(numbers(n, d))
    if draw(st.integers(0, 9)):
        X = suited(X, likelihood)
    X = as_dtype(X, draw(st.sampled_from(DTYPES)))
    X = LAYOUTS[draw(st.sampled_from(list(LAYOUTS)))](X)
    if isinstance(X, np.ndarray) and draw(st.booleans()):
        X.setflags(write=False)
    return X


def other_rows(X, scale, likelihood):
    """Return rows far from those of X, in its dtype."""
    X = np.asarray(X)
    with np.errstate(over="ignore", invalid="ignore"):
        far = np.nan_to_num(X.astype(np.float64) * scale + scale)
        if np.isfinite(far).all():
            far = suited(far, likelihood)
    return as_dtype(far, X.dtype)


# ---- Parameters ----------------------------------------------------------------------

LIKELIHOODS = [
    "gaussian",
    "student_t",
    "bernoulli",
    "continuous_bernoulli",
    "poisson",
    "negative_binomial",
    Gaussian("row"),
    Gaussian("full"),
    Gaussian("shared", floor=0.5),
    Gaussian(1e-3),
    StudentT("row", df=1.5),
    NegativeBinomial("shared"),
    NegativeBinomial("row"),
]
ACTIVATIONS = ["gelu", "relu", "silu", "elu", "leaky_relu", "softplus", "tanh", "logistic"]
TRAINING = {
    "latent_dim": st.integers(1, 4),
    "hidden_layer_sizes": st.sampled_from([(), (4,), 3, (4, 2)]),
    "activation": st.sampled_from([*ACTIVATIONS, "identity"]),
    "solver": st.sampled_from(["adam", "adamw", "rmsprop"]),
    "learning_rate": st.sampled_from(["cosine", "constant"]),
    "learning_rate_init": st.sampled_from(["auto", 1e-10, 1e-3, 0.1, 1.0]),
    "batch_size": st.sampled_from(["auto", 1, 3, 100]),
    "max_iter": st.integers(1, 2),
    "early_stopping": st.booleans(),
    "validation_fraction": st.sampled_from([0.01, 0.3, 0.5, 0.99]),
    "n_iter_no_change": st.integers(1, 2),
    "tol": st.sampled_from([0.0, 1e-4, 1e10]),
    "n_importance_samples": st.integers(1, 6),
    "warm_start": st.booleans(),
    "random_state": st.integers(0, 2**32 - 1),
    "precision": st.sampled_from(["auto", "float32", "bfloat16"]),
}
OBJECTIVE = {
    "beta": st.sampled_from([0.0, 1e-3, 1.0, 1e6]),
    "kl_warmup": st.sampled_from([0.0, 0.5, 1.0]),
    "prior_std": st.sampled_from([1e-3, 1.0, 1e3]),
}
NETWORKS = {"architecture": st.sampled_from(["mlp", "fourier_mlp"])}
DETECTOR = {
    "contamination": st.sampled_from(["auto", 0.01, 0.5]),
    "novelty": st.booleans(),
    "trim": st.sampled_from(["auto", 0.0, 0.2, 0.49]),
}
IMPUTER = {
    "missing_values": st.sampled_from([np.nan, None, 0, -1.0]),
    "add_indicator": st.booleans(),
    "keep_empty_features": st.booleans(),
    "n_training_draws": st.integers(1, 3),
}


def draw_params(data, *groups, **fixed):
    """Draw some parameters; the others have the default or make training fast."""
    choices = {name: choice for group in groups for name, choice in group.items()}
    some = data.draw(st.fixed_dictionaries({}, optional=choices), label="params")
    return {"hidden_layer_sizes": (4,), "max_iter": 1, "random_state": 0, **some, **fixed}


# ---- Arrays --------------------------------------------------------------------------


def assert_numbers(values, shape, dtype):
    """Check that a result is finite and has the given shape and dtype."""
    assert isinstance(values, np.ndarray)
    assert (values.shape, values.dtype) == (shape, dtype)
    assert np.isfinite(values).all()


def result_dtype(X):
    is_single = isinstance(X, np.ndarray) and X.dtype.type is np.float32
    return np.float32 if is_single else np.float64


def check_results(model, X, dtype_of_fit):
    """Check all results for rows of an array, and return codes and scores."""
    n, d, k, dtype = len(X), model.n_features_in_, model.latent_dim, result_dtype(X)
    scores = model.score_samples(X)
    assert_numbers(scores, (n,), dtype)
    assert np.isfinite(model.score(X))
    mean, std = model.encode(X)
    assert_numbers(mean, (n, k), dtype)
    assert_numbers(std, (n, k), dtype)
    assert (std > 0).all()
    assert_numbers(model.reconstruct(X), (n, d), dtype)
    sample = model.sample(3, random_state=0)
    assert_numbers(sample, (3, d), dtype_of_fit)
    np.testing.assert_array_equal(model.sample(3, random_state=0), sample)
    assert_numbers(model.sample(2, noise=False, random_state=0), (2, d), dtype_of_fit)
    if isinstance(model, VAETransformer):
        np.testing.assert_array_equal(model.transform(X), mean)
        of_codes = model.inverse_transform(mean)
        assert_numbers(of_codes, (n, d), dtype)
        if model.prior_std == 1:  # other scales round the codes
            np.testing.assert_array_equal(of_codes, model.reconstruct(X))
    else:
        decision = model.decision_function(X)
        assert_numbers(decision, (n,), dtype)
        np.testing.assert_array_equal(model.predict(X), np.where(decision < 0, -1, 1))
        features, code = model.explain(X)
        assert_numbers(features, (n, d), dtype)
        assert_numbers(code, (n,), dtype)
    return mean, scores


@pytest.mark.parametrize("kind", [VAETransformer, VAEOutlierDetector])
@given(data=st.data())
def test_models_of_arrays_give_finite_results_or_clear_errors(kind, data, outcomes):
    likelihood = data.draw(st.sampled_from(LIKELIHOODS), label="likelihood")
    X = data.draw(tables(likelihood), label="X")
    own = DETECTOR if kind is VAEOutlierDetector else {}
    params = draw_params(data, TRAINING, OBJECTIVE, NETWORKS, own, likelihood=likelihood)
    scale = data.draw(EXTREMES, label="scale of other rows")
    with clear_errors(outcomes):
        model = kind(**params).fit(X)
        of_fit = result_dtype(X)
        codes, scores = check_results(model, X, of_fit)
        again_codes, again_scores = check_results(clone(model).fit(X), X, of_fit)
        np.testing.assert_array_equal(again_codes, codes)
        np.testing.assert_array_equal(again_scores, scores)
        assert all(np.isfinite(metric).all() for metric in model.history_.values())
        check_results(model, other_rows(X, scale, likelihood), of_fit)
        check_results(model.partial_fit(X), X, of_fit)


@given(data=st.data())
def test_codes_of_any_size_give_finite_rows_or_clear_errors(data, outcomes):
    likelihood = data.draw(st.sampled_from(LIKELIHOODS), label="likelihood")
    X = suited(np.random.RandomState(0).normal(size=(10, 3)), likelihood)
    params = draw_params(data, TRAINING, OBJECTIVE, NETWORKS, likelihood=likelihood)
    with clear_errors(outcomes):
        vae = VAETransformer(**params).fit(X)
        sizes = data.draw(st.lists(EXTREMES, min_size=vae.latent_dim, max_size=vae.latent_dim))
        assert_numbers(vae.inverse_transform([sizes]), (1, 3), np.float64)


@given(data=st.data())
def test_imputers_of_arrays_give_finite_results_or_clear_errors(data, outcomes):
    likelihood = data.draw(st.sampled_from(LIKELIHOODS), label="likelihood")
    X = np.array(data.draw(tables(likelihood), label="X"))
    params = draw_params(data, TRAINING, NETWORKS, IMPUTER, likelihood=likelihood)
    marker = params.get("missing_values", np.nan)
    if X.dtype.kind == "f":
        hidden = np.random.RandomState(0).uniform(size=X.shape) < data.draw(
            st.sampled_from([0.0, 0.2, 0.7, 1.0]), label="missing fraction"
        )
        X[hidden] = np.nan if marker is None else marker
    scale = data.draw(EXTREMES, label="scale of other rows")
    with clear_errors(outcomes):
        imputer = VAEImputer(**params).fit(X)
        filled = check_filled(imputer, X, marker)
        np.testing.assert_array_equal(check_filled(clone(imputer).fit(X), X, marker), filled)
        far = other_rows(np.where(is_missing(X, marker), 1, X).astype(X.dtype), scale, likelihood)
        check_filled(imputer, np.where(is_missing(X, marker), X, far), marker)


def is_missing(X, marker):
    return X.astype(np.float64) == marker if marker in (0, -1) else pd.isna(X)


def check_filled(imputer, X, marker):
    """Check the imputation of X, and return the filled array."""
    names = imputer.get_feature_names_out()
    filled = imputer.transform(X)
    assert_numbers(filled, (len(X), len(names)), result_dtype(X))
    missing = is_missing(X, marker)
    if not imputer.add_indicator and len(names) == X.shape[1]:
        np.testing.assert_array_equal(filled[~missing], X[~missing].astype(filled.dtype))
    draws = imputer.sample_imputations(X, 2, random_state=0)
    assert_numbers(draws, (2, *filled.shape), filled.dtype)
    assert_numbers(imputer.score_samples(X), (len(X),), result_dtype(X))
    return filled


# ---- Frames --------------------------------------------------------------------------


def frame_columns(n):
    """Return functions that make columns of n rows, by name."""
    words = ["a", "b", "c", "", "ä", "nan", "a long word"]
    days = pd.Timestamp("2000-02-29").as_unit("us")
    return {
        "float": lambda rng, scale: pd.Series(rng.normal(size=n) * scale),
        "float32": lambda rng, scale: pd.Series((rng.normal(size=n) * scale).astype("f4")),
        "skewed": lambda rng, scale: pd.Series(np.exp(rng.normal(size=n) * 5) * scale),
        "integer": lambda rng, scale: pd.Series(rng.randint(-3, 1000, size=n)),
        "unsigned": lambda rng, scale: pd.Series(rng.randint(256, size=n).astype("u1")),
        "nullable": lambda rng, scale: pd.Series(rng.randint(9, size=n), dtype="Int64"),
        "decimals": lambda rng, scale: pd.Series(rng.normal(size=n).round(2)),
        "boolean": lambda rng, scale: pd.Series(rng.randint(2, size=n) > 0),
        "string": lambda rng, scale: pd.Series(rng.choice(words, size=n)),
        "category": lambda rng, scale: pd.Series(rng.choice(words, size=n), dtype="category"),
        "ordered": lambda rng, scale: pd.Series(
            pd.Categorical(rng.choice(words[:3], size=n), words[2::-1], ordered=True)
        ),
        "date": lambda rng, scale: days + pd.to_timedelta(pd.Series(rng.randint(999, size=n)), "D"),
        "duration": lambda rng, scale: pd.to_timedelta(pd.Series(rng.randint(999, size=n)), "s"),
        "constant": lambda rng, scale: pd.Series(np.full(n, scale)),
        "objects": lambda rng, scale: pd.Series([1, "one", 2.5, True] * n, dtype=object)[:n],
        "identifier": lambda rng, scale: pd.Series(rng.randint(2**62, size=n)),
    }


@st.composite
def frames(draw):
    """Draw a data frame with columns of many dtypes, and missing values in some."""
    n = draw(st.integers(1, 40))
    makers = frame_columns(n)
    kinds = draw(st.lists(st.sampled_from(list(makers)), min_size=1, max_size=5, unique=True))
    rng = np.random.RandomState(draw(st.integers(0, 10**6)))
    columns = {kind: makers[kind](rng, draw(SCALES)) for kind in kinds}
    for kind, column in columns.items():
        if column.dtype.kind not in "iub" or kind == "nullable":
            missing_fraction = draw(st.sampled_from([0.0, 0.0, 0.3, 1.0]))
            columns[kind] = column.mask(rng.uniform(size=n) < missing_fraction)
    return pd.DataFrame(columns)


TABULAR = {"latent_dim": st.integers(1, 4), "autoregressive": st.booleans()}


@given(data=st.data())
def test_models_of_frames_give_valid_rows_or_clear_errors(data, outcomes):
    X, other = data.draw(frames(), label="X"), data.draw(frames(), label="other rows")
    params = draw_params(data, TRAINING, OBJECTIVE, TABULAR)
    with clear_errors(outcomes):
        vae = TabularVAE(**params).fit(X)
        codes = check_frame_results(vae, X, X.dtypes)
        again = check_frame_results(clone(vae).fit(X), X, X.dtypes)
        np.testing.assert_array_equal(again, codes)
        sample = vae.sample(20, random_state=0)
        for name in X.columns[X.notna().any()]:
            if X[name].dtype.kind in "fiuM":
                assert sample[name].dropna().between(X[name].min(), X[name].max()).all(), name
            elif name != "duration":
                assert sample[name].dropna().isin(X[name]).all(), name
        shared = [name for name in X if name in other]
        n = min(len(X), len(other))
        rows = X[:n].assign(**other.loc[: n - 1, shared].to_dict("series"))
        check_frame_results(vae, rows, X.dtypes)


def check_frame_results(vae, X, dtypes):
    """Check all results for rows of a frame, and return the codes."""
    codes = vae.transform(X)
    assert_numbers(codes, (len(X), vae.latent_dim), np.float64)
    assert_numbers(vae.score_samples(X), (len(X),), np.float64)
    for table in (vae.inverse_transform(codes), vae.reconstruct(X), vae.sample(len(X))):
        assert table.shape == X.shape
        assert table.dtypes.equals(dtypes)
    first, second = (vae.sample(3, random_state=0) for _ in range(2))
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    return codes


@given(data=st.data())
def test_imputers_of_frames_fill_every_entry_or_give_clear_errors(data, outcomes):
    X = data.draw(frames(), label="X")
    own = {"n_training_draws": st.integers(1, 3), "latent_dim": st.integers(1, 4)}
    params = draw_params(data, TRAINING, own, likelihood="mixed", n_importance_samples=5)
    with clear_errors(outcomes):
        imputer = VAEImputer(**params).fit(X)
        tables = [imputer.transform(X), *imputer.sample_imputations(X, 2, random_state=0)]
        for filled in tables:
            seen = X.loc[:, X.notna().any()]
            assert filled.columns.equals(seen.columns)
            assert filled.dtypes.equals(seen.dtypes)
            assert filled.notna().all(axis=None)
            pd.testing.assert_frame_equal(filled.where(seen.notna()), seen.where(seen.notna()))
        assert_numbers(imputer.score_samples(X), (len(X),), np.float64)
        pd.testing.assert_frame_equal(clone(imputer).fit(X).transform(X), tables[0])
