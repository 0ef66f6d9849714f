"""Estimators in pickles and files."""

from __future__ import annotations

import inspect
import math
import os
from contextlib import suppress
from itertools import pairwise
from typing import Any, TypeVar

import torch

from ..likelihoods import Histogram
from ..models import VAE, VAEConfig, build_vae
from ..serialization import Arrays, decode, encode, read_file, write_file
from ..utils import available_devices, isolate, seeded_generator, to_device

# Estimators that `load` creates, by name.
_ESTIMATORS: dict[str, type] = {}
Estimator = TypeVar("Estimator", bound=type)
# A file may describe a module with this number of elements in a layer, or with this multiple of the
# number of elements in the file.
_ALWAYS_ALLOWED_SIZE = 2**24
_MAX_SIZE_RATIO = 16


def loadable(cls: Estimator) -> Estimator:
    """Register an estimator class for `load`, as a decorator."""
    _ESTIMATORS[cls.__name__] = cls
    return cls


class PersistenceMixin:
    """Pickling and saving of an estimator, without the state of its optimizer."""

    module_: VAE
    device_: torch.device

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the estimator to a file, which `skvae.load` reads.

        The file has the safetensors format, with JSON in the metadata. Other tools can read the
        file, and loading executes no code. If writing fails, an existing file is unchanged.

        Parameters
        ----------
        path : path-like
            File to write. An existing file is replaced.

        Raises
        ------
        TypeError
            If a parameter, or a category of a column, has a type that the format does not support.
        OSError
            If the file cannot be written.
        """
        state, arrays = encode(self.__getstate__())
        document = {"class": type(self).__name__, "state": state}
        write_file(path, document, arrays)

    @isolate
    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the optimizer, with weights as NumPy arrays."""
        state: dict[str, Any] = dict(super().__getstate__())  # type: ignore[call-overload]
        state.pop("_trainer", None)
        if (module := state.pop("module_", None)) is not None:
            weights = {name: w.cpu().numpy() for name, w in module.state_dict().items()}
            state["module_"] = {"config": vars(module.config), "weights": weights}
            state["device_"] = str(self.device_)
        if "_reader" in state:
            with suppress(TypeError):  # pickle supports more types
                # skops supports neither the reader's classes nor the types of pandas.
                state["_reader"] = {"encoded": encode(state["_reader"])}
        return state

    @isolate
    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the module, on the device of training if this machine has the device."""
        plain = dict(state)
        if isinstance(plain.get("_reader"), dict):
            document, arrays = plain["_reader"]["encoded"]
            plain["_reader"] = decode(document, arrays, {})
        super().__setstate__(plain)  # type: ignore[misc]
        saved: Any = vars(self).get("module_")
        if isinstance(saved, dict):
            module = build_vae(VAEConfig(**saved["config"]), seeded_generator(0)).eval()
            weights = {name: torch.tensor(w) for name, w in saved["weights"].items()}
            module.load_state_dict(weights)
            name = str(self.device_)
            self.device_ = torch.device(name if name in available_devices() else "cpu")
            self.module_ = to_device(module, self.device_)


def load(
    path: str | os.PathLike[str], *, estimator_class: type | None = None, **parameters: Any
) -> Any:
    """Load an estimator from a file that `save` wrote.

    Loading executes no code from the file.

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
        device of training if this machine has the device, else on the CPU.

    Raises
    ------
    OSError
        If the file does not exist or cannot be read.
    ValueError
        If the file is damaged, has another format, was not written by skvae, or needs a parameter
        of custom code.

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
                f"its class {name} is not a class of skvae: pass the class, as in "
                f"skvae.load(path, estimator_class={name})"
            )
        _check_size(state, arrays)
        estimator: Any = object.__new__(cls)
        missing = {name: d for name, d in _defaults(cls).items() if name not in state}
        estimator.__setstate__({**state, **missing})
        if hasattr(estimator, "module_"):
            estimator._validate_params()
    except Exception as error:  # a hostile file may cause any exception
        raise ValueError(f"Cannot load an estimator from {os.fspath(path)!r}: {error}.") from error
    return estimator


def _defaults(cls: type) -> dict[str, Any]:
    """Return the default of each parameter, for files of versions without the parameter."""
    parameters = inspect.signature(cls).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def _check_size(state: Any, arrays: Arrays) -> None:
    """Raise `ValueError` if the module would be much larger than the file."""
    module = state.get("module_")
    if module is None:
        return
    config = VAEConfig(**module["config"])
    sizes = config.hidden_layer_sizes
    widths = [config.n_features, *(sizes if isinstance(sizes, tuple) else ()), config.latent_dim]
    # The sum over layers: a file with many small arrays could describe as many large layers.
    part_sizes = [sum(width * following for width, following in pairwise(widths))]
    if isinstance(config.likelihood, Histogram):
        part_sizes += [column.n_levels**2 for column in config.likelihood.columns]
    image = math.prod(config.image_shape or ())
    n_stored = sum(array.size for array in arrays.values())
    limit = max(_ALWAYS_ALLOWED_SIZE, _MAX_SIZE_RATIO * n_stored)
    if len(widths) > len(arrays) or max(image, *widths, *part_sizes) > limit:
        raise ValueError("it describes a model much larger than the stored weights")
