"""Saved estimators: loading, and protection against damaged and hostile files."""

import copy
import json
import math
import random
import re
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open

import skvae
from helpers import FAST, full_disk, linear_networks
from skvae import Gaussian, StudentT, TabularVAE, VAEImputer, VAEOutlierDetector, VAETransformer
from skvae.serialization._files import read_file, write_file


class CustomLikelihood(Gaussian):
    """Likelihood that is not registered in skvae."""


class CustomVAE(VAETransformer):
    """Estimator that is not registered in skvae."""


def mixed_frame(n=120):
    rng = np.random.RandomState(0)
    frame = pd.DataFrame(
        {
            "number": rng.normal(size=n),
            "single": rng.normal(size=n).astype(np.float32),
            "integer": rng.randint(0, 9, n),
            "nullable": pd.array(rng.randint(0, 9, n), dtype="Int64"),
            "boolean": rng.uniform(size=n) < 0.5,
            "string": rng.choice(["u", "v", "é"], n),
            "category": pd.Categorical(rng.choice(list("xyz"), n), categories=list("wxyz")),
            "ordered": pd.Categorical(rng.choice(["lo", "hi"], n), ["lo", "mid", "hi"], True),
            "interval": pd.cut(rng.normal(size=n), 4),
            "time": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.randint(0, 999, n), unit="D"),
            "zoned": pd.date_range("2020-03-28", periods=n, freq="h", tz="Europe/Berlin"),
            "duration": pd.to_timedelta(rng.randint(0, 99, n), unit="s"),
            "any": pd.Series([pd.Timestamp("2020-01-01").date(), 3, None] * (n // 3), dtype=object),
        }
    )
    frame.loc[::7, ["string", "nullable"]] = None
    frame.loc[::5, "number"] = math.nan
    return frame


def through_file(estimator, tmp_path, **options):
    estimator.save(tmp_path / "estimator.safetensors")
    return skvae.load(tmp_path / "estimator.safetensors", **options)


# ---- Saving and loading --------------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"likelihood": StudentT("row", df=3)},
        {"likelihood": Gaussian(0.5), "prior_std": 2.0},
        {"likelihood": Gaussian("full")},
        {"architecture": "fourier_mlp", "hidden_layer_sizes": [4, 3]},
        {"architecture": "conv", "image_shape": (2, 3), "hidden_layer_sizes": np.array([4, 3])},
        {"hidden_layer_sizes": "auto", "device": torch.device("cpu")},
        {"random_state": np.random.RandomState(3), "early_stopping": True},
        {"random_state": np.random.RandomState(3), "hidden_layer_sizes": ()},
    ],
    ids=lambda params: ", ".join(params) or "default",
)
def test_a_loaded_estimator_gives_the_same_results(params, blobs, tmp_path):
    vae = VAETransformer(**{**FAST, **params}).fit(blobs)
    loaded = through_file(vae, tmp_path)
    assert type(loaded) is VAETransformer
    assert re.sub("0x.*", "", repr(loaded)) == re.sub("0x.*", "", repr(vae))
    np.testing.assert_array_equal(loaded.transform(blobs), vae.transform(blobs))
    np.testing.assert_array_equal(loaded.score_samples(blobs), vae.score_samples(blobs))
    np.testing.assert_array_equal(loaded.sample(3, random_state=0), vae.sample(3, random_state=0))
    assert loaded.history_ == vae.history_
    assert loaded.device_ == vae.device_
    assert vars(loaded).keys() == vars(vae).keys() - {"_trainer"}
    # A RandomState continues from its saved state.
    np.testing.assert_array_equal(
        loaded.fit(blobs).transform(blobs), vae.fit(blobs).transform(blobs)
    )


def test_a_loaded_detector_has_the_same_offset(blobs, tmp_path):
    detector = VAEOutlierDetector(**FAST).fit(pd.DataFrame(blobs, columns=list("abcdef")))
    loaded = through_file(detector, tmp_path)
    frame = pd.DataFrame(blobs, columns=list("abcdef"))
    np.testing.assert_array_equal(
        loaded.decision_function(frame), detector.decision_function(frame)
    )
    np.testing.assert_array_equal(loaded.feature_names_in_, detector.feature_names_in_)


@pytest.mark.parametrize("kind", [float, int, np.float64, np.float32])
def test_an_offset_set_by_a_user_is_saved(kind, blobs, tmp_path):
    detector = VAEOutlierDetector(**FAST).fit(blobs)
    detector.offset_ = kind(-3)
    assert through_file(detector, tmp_path).offset_ == -3


def test_an_offset_below_all_scores_is_saved(blobs, tmp_path):
    detector = VAEOutlierDetector(**FAST).fit(blobs)
    detector.offset_ = -np.inf  # no row is an outlier
    assert (through_file(detector, tmp_path).predict(blobs) == 1).all()


def test_a_loaded_tabular_model_keeps_columns_of_every_type(tmp_path):
    X = mixed_frame()
    vae = TabularVAE(4, column_types={"integer": "ordinal"}, **FAST).fit(X)
    loaded = through_file(vae, tmp_path)
    np.testing.assert_array_equal(loaded.transform(X), vae.transform(X))
    pd.testing.assert_frame_equal(loaded.sample(50, random_state=0), vae.sample(50, random_state=0))
    conditions = {"ordered": "lo", "nullable": None}
    expected = vae.sample(5, conditions=conditions, random_state=0)
    pd.testing.assert_frame_equal(loaded.sample(5, conditions=conditions, random_state=0), expected)
    assert loaded.partial_fit(X).n_iter_ == 4


@pytest.mark.parametrize("likelihood", ["mixed", "gaussian"])
def test_a_loaded_imputer_gives_the_same_imputation(likelihood, tmp_path):
    X = mixed_frame() if likelihood == "mixed" else mixed_frame()[["number", "integer"]]
    imputer = VAEImputer(likelihood=likelihood, add_indicator=True, **FAST).fit(X)
    loaded = through_file(imputer, tmp_path)
    same = pd.testing.assert_frame_equal if likelihood == "mixed" else np.testing.assert_array_equal
    same(loaded.transform(X), imputer.transform(X))
    same(
        loaded.sample_imputations(X, 2, random_state=0)[1],
        imputer.sample_imputations(X, 2, random_state=0)[1],
    )


def test_an_unfitted_estimator_can_be_saved(tmp_path):
    vae = VAETransformer(3, likelihood=Gaussian("shared"), tol=math.inf)
    assert repr(through_file(vae, tmp_path)) == repr(vae)


def test_saving_again_gives_the_same_file(blobs, tmp_path):
    vae = VAETransformer(**FAST).fit(blobs)
    vae.save(tmp_path / "first")
    skvae.load(tmp_path / "first").save(tmp_path / "second")
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_custom_classes_and_networks_are_passed_to_load(blobs, tmp_path):
    given = {"architecture": linear_networks, "likelihood": CustomLikelihood("shared")}
    vae = CustomVAE(**given, **FAST).fit(blobs)
    for name in given:
        rest = {key: value for key, value in given.items() if key != name}
        with pytest.raises(ValueError, match=rf"skvae\.load\(path, {name}=\.\.\.\)"):
            through_file(vae, tmp_path, estimator_class=CustomVAE, **rest)
    with pytest.raises(ValueError, match="estimator_class=CustomVAE"):
        through_file(vae, tmp_path, **given)
    loaded = through_file(vae, tmp_path, estimator_class=CustomVAE, **given)
    assert type(loaded) is CustomVAE
    np.testing.assert_array_equal(loaded.transform(blobs), vae.transform(blobs))


def test_custom_networks_with_integer_buffers_are_saved(blobs, tmp_path):
    def networks(n_features, latent_dim, n_outputs):
        encoder, decoder = linear_networks(n_features, latent_dim, n_outputs)
        return torch.nn.Sequential(torch.nn.BatchNorm1d(n_features), encoder), decoder

    vae = VAETransformer(architecture=networks, **FAST).fit(blobs)
    loaded = through_file(vae, tmp_path, architecture=networks)
    np.testing.assert_array_equal(loaded.transform(blobs), vae.transform(blobs))


def test_other_tools_read_the_file(blobs, tmp_path):
    vae = VAETransformer(**FAST).fit(blobs)
    vae.save(tmp_path / "vae.safetensors")
    with safe_open(tmp_path / "vae.safetensors", framework="pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        document = json.loads(file.metadata()["skvae"])["document"]
    for name, weight in vae.module_.state_dict().items():
        assert torch.equal(weights[f"module_.weights.{name}"], weight)
    assert document["class"] == "VAETransformer"
    assert document["state"]["dict"]["latent_dim"] == 2


def test_the_error_for_an_unsupported_value_names_the_value_and_keeps_the_old_file(blobs, tmp_path):
    path = tmp_path / "vae.safetensors"
    vae = VAETransformer(**FAST).fit(blobs)
    vae.save(path)
    before = path.read_bytes()
    vae.tol = object()
    with pytest.raises(TypeError, match=r"builtins\.object cannot be saved.*in tol"):
        vae.save(path)
    with pytest.raises(FileNotFoundError, match="folder of the file does not exist"):
        VAETransformer().save(tmp_path / "no such folder" / "vae.safetensors")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_keeps_the_old_file(blobs, tmp_path, monkeypatch):
    path = tmp_path / "vae.safetensors"
    VAETransformer(2).save(path)
    before = path.read_bytes()

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        VAETransformer(3).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_several_threads_may_save_to_the_same_file(blobs, tmp_path):
    path = tmp_path / "vae.safetensors"
    vae = VAETransformer(**FAST).fit(blobs)
    vae.save(path)
    whole = path.read_bytes()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(vae.save, [path] * 200))
    assert path.read_bytes() == whole
    assert list(tmp_path.iterdir()) == [path]


# ---- Other files ---------------------------------------------------------------------


def test_a_parameter_absent_from_an_older_file_has_the_default(blobs, tmp_path):
    vae = VAETransformer(**FAST).fit(blobs)
    vae.save(tmp_path / "vae")
    document, arrays = read_file(tmp_path / "vae")
    del document["state"]["dict"]["on_interrupt"]
    write_file(tmp_path / "old", document, arrays)
    loaded = skvae.load(tmp_path / "old")
    assert loaded.get_params() == vae.get_params()
    assert np.array_equal(loaded.fit(blobs).transform(blobs), vae.transform(blobs))


def test_errors_distinguish_foreign_files_from_damaged_files(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "x"
    with pytest.raises(FileNotFoundError):
        skvae.load(path)
    save_file({"a": np.zeros(3)}, path)
    with pytest.raises(ValueError, match="not written by skvae"):
        skvae.load(path)
    for number, remedy in [(5, "install a newer version"), (3, "the version that wrote it")]:
        header = {"format": number, "sha256": "", "document": {}}
        save_file({"a": np.zeros(3)}, path, metadata={"skvae": json.dumps(header)})
        with pytest.raises(ValueError, match=rf"format {number}.*{remedy}"):
            skvae.load(path)
    save_file({"a": np.zeros(3)}, path, metadata={"skvae": '{"format": 4, "document": {}}'})
    with pytest.raises(ValueError, match=r"damaged.*no digest"):
        skvae.load(path)
    for content in (b"", b"hello", b"\x00" * 100, pd.DataFrame().to_csv().encode()):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="damaged, or was not written by skvae"):
            skvae.load(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files of small estimators of each kind."""
    folder = tmp_path_factory.mktemp("files")
    X = mixed_frame()
    numbers = X[["single", "integer"]]
    estimators = [
        VAETransformer(**FAST).fit(numbers),
        VAEOutlierDetector(**FAST).fit(numbers),
        VAEImputer(add_indicator=True, **FAST).fit(X[["number", "integer"]]),
        TabularVAE(3, **FAST).fit(X),
    ]
    paths = []
    for estimator in estimators:
        paths.append(folder / type(estimator).__name__)
        estimator.save(paths[-1])
    return paths


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Return the content of a file with one kind of damage."""
    at = rng.randrange(len(content))
    other = rng.randrange(len(content))
    kind = rng.randrange(6)
    if kind == 0:  # a flipped bit
        return content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]
    if kind == 1:  # truncated
        return content[:at]
    if kind == 2:  # a gap
        start, stop = sorted((at, other))
        return content[:start] + content[stop + 1 :]
    if kind == 3:  # a block of zeros, as after a crash
        return content[:at] + bytes(min(512, len(content) - at)) + content[at + 512 :]
    if kind == 4:  # two parts swapped
        start, stop = sorted((at, other))
        return content[stop:] + content[start:stop] + content[:start]
    return content[:at] + rng.randbytes(1 + rng.randrange(64)) + content[at:]


def test_every_damaged_file_is_refused(files, tmp_path):
    rng = random.Random(0)
    path = tmp_path / "mutated"
    n_refused = 0
    for original in files:
        content = original.read_bytes()
        for _ in range(600):
            changed = mutated(content, rng)
            if changed == content:
                continue
            path.write_bytes(changed)
            with pytest.raises(ValueError, match=r"damaged|not written by skvae|format"):
                skvae.load(path)
            n_refused += 1
    assert n_refused > 2300


HOSTILE = [
    *(None, True, -1, 0, 2**31, 10**18, 10**400, 1e308, "", "x", "\x00", [], [[]], {}),
    *({"a": 1}, {"dict": {}}, {"tuple": [10**9, 10**9]}, {"float": "nan"}, {"dtype": "V999999999"}),
    *({"object": ["Histogram", {"dict": {}}]}, {"object": ["system", {}]}, {"array": "x"}),
    *({"items": ["O", [10**9], []]}, {"parameter": "likelihood"}, {"device": "cuda:99"}),
    *({"random_state": []}, {"pandas_dtype": "category"}, {"Index": [[], None, None]}),
    {"object": ["Gaussian", {"dict": {"noise": -1, "floor": 0.0}}]},
]


def places(document, path=()):
    """Return the path of each value in a document."""
    found = [path]
    if isinstance(document, dict | list):
        items = document.items() if isinstance(document, dict) else enumerate(document)
        for key, item in items:
            found += places(item, (*path, key))
    return found


@pytest.mark.slow
def test_a_hostile_document_causes_at_most_an_error(files, tmp_path):
    # The digest is right, but the content is not what skvae writes.
    rng = random.Random(0)
    path = tmp_path / "hostile"
    outcomes = {"loaded": 0, "refused": 0}
    for original in files:
        document, arrays = read_file(original)
        where = places(document)
        for _ in range(50):
            changed = copy.deepcopy(document)
            *parents, key = rng.choice(where[1:])
            node = changed
            for parent in parents:
                node = node[parent]
            if rng.random() < 0.2:
                node.pop(key)
            else:
                node[key] = rng.choice(HOSTILE)
            write_file(path, changed, arrays)
            start = time.perf_counter()
            tracemalloc.start()
            try:
                skvae.load(path)
                outcomes["loaded"] += 1
            except ValueError as error:
                assert str(error).startswith("Cannot load an estimator from")  # noqa: PT017
                outcomes["refused"] += 1
            assert tracemalloc.get_traced_memory()[1] < 200e6
            tracemalloc.stop()
            assert time.perf_counter() - start < 20
    assert min(outcomes.values()) > 30


@pytest.mark.parametrize(
    "sizes",
    [(10**6, 10**6), (10**5, 10**5, 10**5), (4,) * 10_000, (10**12,), (4000,) * 3],
    ids=["two", "three", "many", "one", "within the limit each"],
)
def test_a_file_that_requests_a_huge_model_is_refused_early(files, tmp_path, sizes):
    document, arrays = read_file(files[0])
    config = document["state"]["dict"]["module_"]["dict"]["config"]["dict"]
    config["hidden_layer_sizes"] = {"tuple": list(sizes)}
    write_file(tmp_path / "hostile", document, arrays)
    with pytest.raises(ValueError, match="much larger than the stored weights"):
        skvae.load(tmp_path / "hostile")


@pytest.mark.parametrize("part", [0, 1, 2, 3])
def test_an_invalid_random_state_is_refused(tmp_path, part):
    # Some versions of NumPy crash on an invalid state.
    VAETransformer(random_state=np.random.RandomState(0)).save(tmp_path / "vae")
    document, arrays = read_file(tmp_path / "vae")
    parts = document["state"]["dict"]["random_state"]["random_state"]
    for wrong in (None, [], "x", 10**6, {"tuple": []}):
        parts[part] = wrong
        write_file(tmp_path / "hostile", document, arrays)
        if part > 1 and wrong == 10**6:  # any number is valid here
            continue
        with pytest.raises(ValueError, match="Cannot load an estimator"):
            skvae.load(tmp_path / "hostile")


def test_weights_of_a_wrong_shape_are_refused(files, tmp_path):
    document, arrays = read_file(files[0])
    arrays["module_.weights.units.shift"] = np.zeros(7)
    write_file(tmp_path / "hostile", document, arrays)
    with pytest.raises(ValueError, match="shift"):
        skvae.load(tmp_path / "hostile")
