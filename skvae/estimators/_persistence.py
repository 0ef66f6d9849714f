"""Estimators in pickles and files."""

from __future__ import annotations

import inspect
import os
from contextlib import suppress
from typing import Any, TypeVar

import torch

from ..models import VAE, VAEConfig, build_vae
from ..serialization import UnsupportedError, decode, encode_reversibly, read_file, write_file
from ..utils import available_devices, isolate, seeded_generator, to_device
from ._restored import allowed_attributes, check_state

# Estimators that `load` creates, by name.
_ESTIMATORS: dict[str, type] = {}
Estimator = TypeVar("Estimator", bound=type)
_REMEDY = "Pickle the estimator instead, or convert the part to another type before `fit`."


def loadable(cls: Estimator) -> Estimator:
    """Register an estimator class for `load`, as a decorator."""
    _ESTIMATORS[cls.__name__] = cls
    return cls


class PersistenceMixin:
    """Pickling and saving of an estimator, without the state of its optimizer."""

    module_: VAE
    device_: torch.device
    _reader: Any  # ArrayReader or FrameReader

    @isolate
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the estimator to a file, which `skvae.load` reads.

        The file has the safetensors format, with JSON in the metadata. Other tools can read the
        file, and loading executes no code. If writing fails, an existing file is unchanged.

        The estimator is compared with what the file restores before anything is written. The
        parameter `checkpoint` is not part of the file.

        Parameters
        ----------
        path : path-like
            File to write. An existing file is replaced.

        Raises
        ------
        TypeError
            If the format cannot hold a parameter, an attribute, or the dtype or a category of a
            column. The message names the part, and the column.
        ValueError
            If the model is too large for a file.
        OSError
            If the file cannot be written.
        """
        state = {**self._portable_state(), "checkpoint": None}
        unknown = state.keys() - allowed_attributes(type(self))
        if unknown:
            raise TypeError(
                f"The attribute {min(unknown)!r} cannot be saved: it is no parameter, and no "
                "method of the class sets it. Pickle the estimator, or delete the attribute."
            )
        try:
            check_state(type(self), state)
        except ValueError as error:
            raise ValueError(f"{type(self).__name__} cannot be saved: {error}.") from error
        try:
            encoded, arrays = encode_reversibly(state)
        except UnsupportedError as error:
            raise TypeError(f"{error}{self._column_in(error.place)} {_REMEDY}") from error
        write_file(path, {"class": type(self).__name__, "state": encoded}, arrays)

    def _column_in(self, place: tuple[str, ...]) -> str:
        """Return the name of the column to which a place in the state belongs, as a sentence."""
        numbers = [int(step) for step in place if step.isdecimal()]
        if not numbers or place[:2] not in (("_reader", "codec"), ("_reader", "table_format")):
            return ""
        # The codec has the columns that are read, and the format has all columns.
        names = self._reader.codec.names if place[1] == "codec" else self._reader.names
        return f" The part belongs to column {names[numbers[0]]!r}."

    def _portable_state(self) -> dict[str, Any]:
        """Return the state without the optimizer, with weights as NumPy arrays."""
        state: dict[str, Any] = dict(super().__getstate__())  # type: ignore[call-overload]
        state.pop("_trainer", None)
        if (module := state.pop("module_", None)) is not None:
            weights = {name: w.cpu().numpy() for name, w in module.state_dict().items()}
            state["module_"] = {"config": vars(module.config), "weights": weights}
            state["device_"] = str(self.device_)
        return state

    @isolate
    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the optimizer, with weights as NumPy arrays."""
        state = self._portable_state()
        if "_reader" in state:
            with suppress(UnsupportedError):  # pickle supports more types
                # skops supports neither the reader's classes nor the types of pandas.
                state["_reader"] = {"encoded": encode_reversibly(state["_reader"])}
        return state

    @isolate
    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the module, on the device of training if this machine has the device."""
        plain = dict(state)
        for name, default in _defaults(type(self)).items():
            plain.setdefault(name, default)
        if isinstance(plain.get("_reader"), dict):
            document, arrays = plain["_reader"]["encoded"]
            plain["_reader"] = decode(document, arrays, {})
        super().__setstate__(plain)  # type: ignore[misc]
        saved: Any = vars(self).get("module_")
        if isinstance(saved, dict):
            module = build_vae(VAEConfig(**saved["config"]), seeded_generator(0)).eval()
            weights = {name: torch.tensor(w) for name, w in saved["weights"].items()}
            try:
                module.load_state_dict(weights)
            except RuntimeError as error:
                raise ValueError(
                    "the weights do not fit the networks: another version of skvae, or of a custom "
                    "architecture, has written them. Fit the estimator again, or use that version"
                ) from error
            name = str(self.device_)
            self.device_ = torch.device(name if name in available_devices() else "cpu")
            self.module_ = to_device(module, self.device_)


def load(
    path: str | os.PathLike[str], *, estimator_class: type | None = None, **parameters: Any
) -> Any:
    """Load an estimator from a file that `save` wrote.

    Loading executes no code from the file, and opens no other file.

    Parameters
    ----------
    path : path-like
        File to read.
    estimator_class : type, default=None
        Class of the estimator, for custom classes.
    **parameters
        Parameters of the estimator with custom code, which is not in the file: ``architecture`` for
        custom networks, and ``likelihood`` for a custom likelihood.

    Returns
    -------
    estimator : object
        An estimator with the same results as the saved estimator, bit for bit. The model is on the
        device of training if this machine has the device, else on the CPU. The parameter
        `checkpoint` is None: a file never determines where the estimator writes.

    Raises
    ------
    OSError
        If the file does not exist or cannot be read.
    ValueError
        If the file is damaged, has another format, was not written by skvae, needs a parameter of
        custom code, has attributes that training does not set, or describes a model that does not
        fit the stored weights.

    Examples
    --------
    >>> import tempfile, skvae
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_iris
    >>> X = load_iris().data
    >>> vae = skvae.VAETransformer(max_iter=5, random_state=0).fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     vae.save(Path(folder) / "iris.safetensors")
    ...     back = skvae.load(Path(folder) / "iris.safetensors")
    >>> bool((back.transform(X) == vae.transform(X)).all())
    True
    """
    document, arrays = read_file(path)
    try:
        name, state = document["class"], decode(document["state"], arrays, parameters)
        cls = estimator_class or _ESTIMATORS.get(name)
        if cls is None:
            raise ValueError(
                f"its class {name:.100} is not a class of skvae: pass the class, as in "
                f"skvae.load(path, estimator_class={name:.100})"
            )
        check_state(cls, state)
        estimator: Any = object.__new__(cls)
        # A model from somebody else must not write to a path that the file names.
        estimator.__setstate__({**state, "checkpoint": None})
        if hasattr(estimator, "module_"):
            estimator._validate_params()
    except Exception as error:  # a hostile file may cause any exception
        raise ValueError(f"Cannot load an estimator from {os.fspath(path)!r}: {error}.") from error
    return estimator


def _defaults(cls: type) -> dict[str, Any]:
    """Return the default of each parameter, for states of versions without the parameter."""
    parameters = inspect.signature(cls).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}
