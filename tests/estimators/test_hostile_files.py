"""Files that somebody wrote to do harm: refused before memory is allocated or a file is opened."""

import copy
import json
import sys

import numpy as np
import pandas as pd
import pytest

import skvae
from fuzz_mutations import write_hostile
from helpers import FAST
from skvae import TabularVAE, VAEImputer, VAEOutlierDetector, VAETransformer
from skvae.estimators import _persistence
from skvae.serialization import decode, read_file

COLLIDING = [k * (2**61 - 1) for k in range(1, 200)]  # all have the hash 0
# All have the same hash in tables of pandas, as objects and as 64-bit integers.
COLLIDING_OBJECTS = [k << 32 | k for k in range(1, 200)]
COLLIDING_INTEGERS = [k << 33 | k ^ k << 11 ^ k << 22 for k in range(1, 200)]
RANGE = {"range": [0, 2**16, 1]}


@pytest.fixture(scope="module")
def contents(tmp_path_factory):
    """Documents and arrays of files of each estimator, by the name of the class."""
    X = np.random.RandomState(0).normal(size=(40, 4))
    frame = pd.DataFrame({"a": X[:, 0].round(1), "b": pd.Categorical(list("xy") * 20)})
    frame["c"] = pd.date_range("2020-01-01", periods=40, tz="Europe/Berlin")
    estimators = [
        VAETransformer(**FAST).fit(X),
        VAEOutlierDetector(**FAST).fit(X),
        VAEImputer(add_indicator=True, **FAST).fit(np.where(X > 1, np.nan, X)),
        TabularVAE(2, **FAST).fit(frame),
    ]
    path = tmp_path_factory.mktemp("files") / "file"
    found = {}
    for estimator in estimators:
        estimator.save(path)
        found[type(estimator).__name__] = read_file(path)
    return found


@pytest.fixture
def refuse(contents, tmp_path, monkeypatch):
    """Return a function that changes a file, and checks the error of `load`."""

    def check(change, match="Cannot load", *, name="VAETransformer", before_building=True):
        document, arrays = copy.deepcopy(contents[name])
        arrays = dict(arrays)
        text = change(document["state"]["dict"], arrays)
        write_hostile(tmp_path / "hostile", text or json.dumps(document), arrays)
        if before_building:
            monkeypatch.setattr(_persistence, "build_vae", None)
        with pytest.raises(ValueError, match=match) as caught:
            skvae.load(tmp_path / "hostile")
        assert "NoneType" not in str(caught.value)

    return check


def config_of(state):
    return state["module_"]["dict"]["config"]["dict"]


# ---- Memory --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_layer_sizes": [10**6, 10**6]},
        {"hidden_layer_sizes": {"tuple": [10**9]}},
        {"hidden_layer_sizes": {"tuple": [1] * 2000}},
        {"hidden_layer_sizes": {"tuple": [8.0]}},
        {"hidden_layer_sizes": {"tuple": [True]}},
        {"latent_dim": 10**9},
        {"latent_dim": 2.0},
        {"n_features": 10**12},
        {"n_features": -1},
        {"architecture": "fourier_mlp"},
        {"architecture": "transformer"},
        {
            "architecture": "conv",
            "image_shape": {"tuple": [1, 2, 2]},
            "hidden_layer_sizes": {"tuple": [5, 4, 3]},
        },
        {
            "architecture": "conv",
            "image_shape": {"tuple": [1, 10**6, 10**6]},
            "hidden_layer_sizes": {"tuple": [9, 4]},
        },
        {"missing": True},
        {"autoregressive": True},
        {"likelihood": "bernoulli"},
        {"likelihood": [1]},
        {"prior_std": {"float": "nan"}},
        {"activation": "exp"},
        {"unknown": 1},
    ],
    ids=lambda changes: str(changes)[:60],
)
def test_a_configuration_that_does_not_fit_the_weights_is_refused_early(refuse, changes):
    refuse(lambda state, arrays: config_of(state).update(changes))


def test_an_image_whose_filters_take_more_memory_than_the_weights_is_refused(refuse):
    # The weights of the first stage do not depend on the size of the image.
    def change(state, arrays):
        conv = {"architecture": "conv", "image_shape": {"tuple": [1, 6000, 6000]}}
        config_of(state).update(conv, hidden_layer_sizes={"tuple": [50, 2, 4]})

    refuse(change, "much more memory")


@pytest.mark.parametrize("shape", [(7,), (4, 1), (), (10**4,), (0, 10**12)], ids=str)
def test_weights_of_other_shapes_are_refused_early(refuse, shape):
    def change(state, arrays):
        arrays["module_.weights.units.shift"] = np.zeros(shape)

    refuse(change)


@pytest.mark.parametrize("dtype", ["i8", "?", "u1"])
def test_weights_that_are_no_floats_are_refused(refuse, dtype):
    def change(state, arrays):
        arrays["module_.weights.units.shift"] = arrays["module_.weights.units.shift"].astype(dtype)

    refuse(change, "dtype")


def test_other_weights_are_refused(refuse):
    def add(state, arrays):
        weights = state["module_"]["dict"]["weights"]["dict"]
        arrays["more"] = np.zeros(2)
        weights["more"] = {"array": "more"}

    refuse(add, "more")

    def drop(state, arrays):
        del state["module_"]["dict"]["weights"]["dict"]["units.shift"]

    refuse(drop, "shift")


def bins_of(state):
    """Return the attributes of the bins of the first column, which a file has twice."""
    columns = config_of(state)["likelihood"]["object"][1]["columns"]["tuple"]
    codecs = state["_reader"]["object"][1]["codec"]["object"][1]["codecs"]
    return [columns[0]["object"][1], codecs[0]["object"][1]["bins"]["object"][1]]


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("n_ordered", 10**9),
        ("n_ordered", -1),
        ("level", {"tuple": [0, 10**9]}),
        ("level", {"tuple": []}),
        ("counts", {"tuple": [1]}),
        ("counts", {"tuple": [0.5] * 31 + [-1.0]}),
        ("representative_bin", {"tuple": [10**9]}),
        ("observed", {"tuple": [1]}),
        ("more", 1),
    ],
)
def test_bins_that_do_not_agree_are_refused(refuse, attribute, value):
    def change(state, arrays):
        for bins in bins_of(state):
            bins[attribute] = value

    refuse(change, name="TabularVAE")


def test_columns_with_many_ordered_levels_are_refused_early(refuse):
    def change(state, arrays):
        n = 20_000
        for bins in bins_of(state):
            bins.update(
                level={"tuple": list(range(n))},
                representative_bin={"tuple": list(range(n))},
                n_ordered=n,
                **{name: {"tuple": [0.0] * n} for name in ("log_fraction", "log_width", "counts")},
                observed={"tuple": [True] * n},
            )
        codec = state["_reader"]["object"][1]["codec"]["object"][1]["codecs"][0]["object"][1]
        for edge in ("_left", "_right"):
            arrays[codec[edge]["array"]] = np.arange(n, dtype=float)

    refuse(change, "much more memory", name="TabularVAE")


# ---- Documents -----------------------------------------------------------------------


def document_with(part):
    return json.dumps({"class": "VAETransformer", "state": {"dict": {"latent_dim": part}}})


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('{"class": "VAETransformer", "class": "VAEImputer", "state": {"dict": {}}}', "twice"),
        ("[" + "{}," * 600_000 + "0]", "lists and objects"),
        ("[" + "0," * 5_000_000 + "0]", "values"),
        ("[" * 100_000 + "]" * 100_000, "recursion|nested"),
        (document_with(1).replace("1", "9" * 5000), "digits"),
        (document_with(1).replace("1", "NaN"), "NaN"),
        (document_with(1).replace("1", "1e999"), "too large"),
        (document_with({"tuple": [1]}).replace("[1]", "[" * 300 + "]" * 300), "nested"),
        (document_with({"Decimal": ["1e1000000"]}), "decimal"),
        (document_with({"Decimal": ["9" * 5000]}), "decimal"),
        (document_with({"range": [0, 10**12, 1]}), "range"),
        (document_with({"pandas.RangeIndex": [0, 10**12, 1, None]}), "range"),
        (document_with({"tensor": [[RANGE, RANGE]]}), "range"),
        (document_with({"pandas.IntervalIndex": [RANGE, RANGE, "right", None]}), "range"),
        (document_with({"scalar": ["bytes_", 10**9]}), "not a dtype"),
        (document_with({"scalar": ["|S1", 10**9]}), "not a number"),
        (document_with({"pandas.Period": [0, "cbh"]}), "not a frequency"),
        (document_with({"pairs": [[k, 0] for k in COLLIDING]}), "same hash"),
        (document_with({"frozenset": [COLLIDING]}), "same hash"),
        (document_with({"pandas.Index": [COLLIDING, {"dtype": ["|O"]}, None]}), "same hash"),
        (
            document_with({"pandas.Index": [COLLIDING_OBJECTS, {"dtype": ["|O"]}, None]}),
            "same hash",
        ),
        (document_with({"pandas.Index": [COLLIDING_INTEGERS, {"dtype": ["<i8"]}, 0]}), "same hash"),
        (document_with({"pandas.CategoricalDtype": [COLLIDING, True]}), "not an Index"),
        (document_with({"frozenset": [{"tuple": COLLIDING}]}), "not a list"),
        (document_with({"pandas.Index": [{"object_array": [[199], COLLIDING]}, 0, 0]}), "a list"),
        (document_with({"pairs": [[1, 0], [True, 0]]}), "twice"),
        (document_with({"dtype": ["V999999999"]}), "dtype"),
        (document_with({"dtype": ["<U9999999"]}), "too wide"),
        (document_with({"ZoneInfo": ["localtime"]}), "time zone"),
        (document_with({"object_array": [[0, 10**12], []]}), "empty array"),
        (document_with({"object_array": [[10**12], []]}), "reshape"),
        (document_with({"object": ["Path", {}]}), "Path"),
        (document_with({"object": ["Gaussian", {"noise": 1.0}]}), "attributes"),
        (document_with({"object": ["ArrayReader", {"read": 1}]}), "read"),
        (document_with({"object": ["NumericColumn", {"is_numeric": False}]}), "is_numeric"),
    ],
    ids=lambda value: value[:60] if len(value) > 60 else value,
)
def test_a_document_that_would_take_time_or_memory_is_refused(refuse, text, match):
    refuse(lambda state, arrays: text, match)


def test_an_array_is_used_once():
    # One array with many references could fill the memory.
    document = [{"list_of_numbers": "a"}, {"list_of_numbers": "a"}]
    with pytest.raises(ValueError, match="content is invalid"):
        decode(document, {"a": np.zeros(3)}, {})


def test_the_size_of_an_empty_array_does_not_overflow():
    huge = {"raw_array": ["<i8", {"array": "shape"}, {"array": "content"}]}
    arrays = {"shape": np.array([0, 2**32, 2**32]), "content": np.zeros(0, np.uint8)}
    with pytest.raises(ValueError, match="an empty array"):
        decode(huge, arrays, {})


def test_texts_take_memory_in_proportion_to_the_file():
    long = {"raw_array": ["<U1000000", [1000], {"array": "a"}]}
    with pytest.raises(ValueError, match="content is invalid"):
        decode(long, {"a": np.zeros(4, dtype=np.uint8)}, {})
    invalid = {"raw_array": ["<U1", [1], {"array": "a"}]}
    with pytest.raises(ValueError, match="invalid characters"):
        decode(invalid, {"a": np.full(4, 255, dtype=np.uint8)}, {})


# ---- Other files ---------------------------------------------------------------------

OPENED: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def audit():
    def hook(event, arguments):
        if event == "open":
            OPENED.append(str(arguments[0]))

    sys.addaudithook(hook)  # cannot be removed, but is harmless


@pytest.mark.parametrize("name", ["/etc/passwd", "../../../etc/passwd", "dateutil//etc/passwd"])
def test_the_name_of_a_time_zone_opens_no_other_file(refuse, name):
    values = [
        *({tag: [name]} for tag in ("ZoneInfo", "pytz.timezone", "dateutil.tzfile")),
        {"pandas.DatetimeTZDtype": ["ns", name]},
        {"pandas.Timestamp": [0, "ns", name, 0]},
        {"pandas.SparseDtype": [f"datetime64[ns, {name}]", 0]},
        {"pandas.Index": [["2020-01-01"], f"datetime64[ns, {name}]", None]},
        {"pandas.ArrowDtype": [{"pyarrow.DataType": ["timestamp", "ns", name]}]},
    ]
    for value in values:
        refuse(lambda state, arrays, value=value: state.update(verbose=value), "content is invalid")
    for attribute in ("dtype", "units"):

        def change(state, arrays, attribute=attribute):
            codecs = state["_reader"]["object"][1]["codec"]["object"][1]["codecs"]
            codec = codecs[2]["object"][1]
            codec = codec["units"]["object"][1] if attribute == "dtype" else codec
            codec[attribute] = f"datetime64[ns, {name}]"

        refuse(change, "content is invalid", name="TabularVAE")
    assert not [path for path in OPENED if "passwd" in path]


def test_a_loaded_estimator_does_not_write_to_a_path_from_the_file(contents, tmp_path):
    document, arrays = copy.deepcopy(contents["VAETransformer"])
    for checkpoint in (
        str(tmp_path / "written"),
        {"path": [str(tmp_path / "written")]},
        {"object": ["Checkpoint", {"path": str(tmp_path / "x"), "epochs": 1, "seconds": None}]},
    ):
        document["state"]["dict"]["checkpoint"] = checkpoint
        write_hostile(tmp_path / "hostile", json.dumps(document), dict(arrays))
        loaded = skvae.load(tmp_path / "hostile")
        assert loaded.checkpoint is None
        loaded.fit(np.random.RandomState(0).normal(size=(40, 4)))
        assert [path.name for path in tmp_path.iterdir()] == ["hostile"]


# ---- Attributes ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "transform",
        "_trainer",
        "_parameter_constraints",
        "_skl_callbacks",
        "_takes_missing",
        "more_",
    ],
)
def test_attributes_that_training_does_not_set_are_refused(refuse, name):
    refuse(lambda state, arrays: state.update({name: 1}), f"no attribute '{name}'")


@pytest.mark.parametrize(
    ("estimator", "name", "value"),
    [
        ("VAETransformer", "n_features_in_", 5),
        ("VAETransformer", "n_iter_", "x"),
        ("VAETransformer", "history_", {"dict": {"loss": 1}}),
        ("VAETransformer", "_n_features_out", 10**9),
        ("VAETransformer", "device_", 1),
        ("VAETransformer", "_reader", None),
        ("VAETransformer", "_reader", {"object": ["ArrayReader", {"observed": [True] * 4}]}),
        ("VAEOutlierDetector", "offset_", "x"),
        ("VAEOutlierDetector", "usual_contributions_", [0.0]),
        ("VAEImputer", "indicator_", 1),
        ("VAETransformer", "latent_dim", 0),
    ],
)
def test_attributes_with_other_types_are_refused(refuse, estimator, name, value):
    is_parameter = name == "latent_dim"
    refuse(
        lambda state, arrays: state.update({name: value}),
        name=estimator,
        before_building=not is_parameter,
    )


def test_an_unknown_library_of_tables_is_refused(refuse):
    def change(state, arrays):
        state["_reader"]["object"][1]["table_format"]["object"][1]["library"] = "os"

    refuse(change, "content is invalid in _reader.table_format", name="TabularVAE")


def test_a_model_of_another_estimator_is_refused(contents, tmp_path):
    document, arrays = contents["VAETransformer"]
    write_hostile(tmp_path / "hostile", json.dumps({**document, "class": "VAEImputer"}), arrays)
    with pytest.raises(ValueError, match="Cannot load"):
        skvae.load(tmp_path / "hostile")
