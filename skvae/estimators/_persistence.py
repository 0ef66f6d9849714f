"""How estimators are stored: what pickles and files hold of one, and back."""

from __future__ import annotations

import inspect
import math
import os
from contextlib import suppress
from itertools import pairwise
from typing import Any, ClassVar

import torch

from ..likelihoods import Histogram
from ..models import VAE, VAEConfig
from ..serialization import Arrays, decode, encode, read_file, write_file
from ..utils import available_devices, place, seeded_generator

# What estimators know of columns: skops stores neither its classes nor those of pandas.
_OF_COLUMNS = frozenset({"_codec", "_filling"})
# A module may take so many numbers while it is built, or so many times those of its file.
_SMALL = 2**24
_MAX_SIZE_RATIO = 16


class PersistenceMixin:
    """State of an estimator whose trained module is `module_`, without its optimiser's."""

    _module_class: ClassVar[type[VAE]]
    module_: VAE
    device_: torch.device

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the estimator to a file, from which `skvae.load` makes it again.

        The file is in the safetensors format, with JSON in its metadata: other tools can read it,
        and nothing in it is ever executed. It is written as a whole or not at all.

        Parameters
        ----------
        path : path-like
            A file there is replaced.

        Raises
        ------
        TypeError
            If a parameter, or a category of a column, is of a type that can't be written.
        OSError
            If the file can't be written.
        """
        state, arrays = encode(self.__getstate__())
        document = {"class": type(self).__name__, "state": state}
        write_file(path, document, arrays)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the optimiser's, and with weights as NumPy arrays."""
        state: dict[str, Any] = dict(super().__getstate__())  # type: ignore[call-overload]
        state.pop("_trainer", None)
        if (module := state.pop("module_", None)) is not None:
            weights = {name: w.cpu().numpy() for name, w in module.state_dict().items()}
            state["module_"] = {"config": vars(module.config), "weights": weights}
            state["device_"] = str(self.device_)
        for name in _OF_COLUMNS.intersection(state):
            with suppress(TypeError):  # pickle stores more than JSON does
                state[name] = {"encoded": encode(state[name])}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Rebuild the module, on the device that trained it if there is one here."""
        plain = dict(state)
        for name in _OF_COLUMNS.intersection(plain):
            if isinstance(plain[name], dict):
                document, arrays = plain[name]["encoded"]
                plain[name] = decode(document, arrays, {})
        super().__setstate__(plain)  # type: ignore[misc]
        saved: Any = vars(self).get("module_")
        if isinstance(saved, dict):
            config = VAEConfig(**saved["config"])
            module = self._module_class(config, seeded_generator(0)).eval()
            weights = {name: torch.tensor(w) for name, w in saved["weights"].items()}
            module.load_state_dict(weights)
            name = str(self.device_)
            self.device_ = torch.device(name if name in available_devices() else "cpu")
            self.module_ = place(module, self.device_)


def load(
    path: str | os.PathLike[str], *, estimator_class: type | None = None, **parameters: Any
) -> Any:
    """Make an estimator again from a file that its `save` wrote.

    Nothing in the file is executed.

    Parameters
    ----------
    path : path-like
    estimator_class : type, default=None
        Class of the estimator, if it is one of your own.
    **parameters
        Parameters of the estimator that are code of your own, and so not in the file:
        ``architecture``, if it is a function, or ``likelihood``, if its class is yours.

    Returns
    -------
    estimator : object
        An estimator that answers with the bits of the one saved. It runs on the device that
        trained it if there is one here, else on the CPU.

    Raises
    ------
    OSError
        If there is no such file, or it can't be read.
    ValueError
        If the file is damaged, is no file of skvae or of a newer version, or if it needs a
        parameter that was not given.

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
        cls = estimator_class or _classes().get(name)
        if cls is None:
            raise ValueError(
                f"it holds a {name}, which is no class of skvae: hand it in, as in "
                f"skvae.load(path, estimator_class={name})"
            )
        _check_size(state, arrays)
        estimator: Any = object.__new__(cls)
        estimator.__setstate__({**_defaults(cls), **state})
        if hasattr(estimator, "module_"):
            estimator._validate_params()
    except Exception as error:  # what a file may say that no file of ours does has no limits
        raise ValueError(f"Can't make an estimator of {os.fspath(path)!r}: {error}.") from error
    return estimator


def _classes() -> dict[str, type]:
    from .. import TabularVAE, VAEImputer, VAEOutlierDetector, VAETransformer

    classes = (TabularVAE, VAEImputer, VAEOutlierDetector, VAETransformer)
    return {cls.__name__: cls for cls in classes}


def _defaults(cls: type) -> dict[str, Any]:
    """Return the parameters' defaults: files of versions that lacked one leave it at that."""
    parameters = inspect.signature(cls).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def _check_size(state: Any, arrays: Arrays) -> None:
    """Raise `ValueError` if the module would be far larger than what the file holds of it."""
    module = state.get("module_")
    if module is None:
        return
    config = VAEConfig(**module["config"])
    sizes = config.hidden_layer_sizes
    widths = [config.n_features, *(sizes if isinstance(sizes, tuple) else ()), config.latent_dim]
    # All layers together: a file with many small arrays could ask for as many large layers.
    sizes_of_parts = [sum(width * following for width, following in pairwise(widths))]
    if isinstance(config.likelihood, Histogram):
        sizes_of_parts += [column.n_levels**2 for column in config.likelihood.columns]
    image = math.prod(config.image_shape or ())
    n_stored = sum(array.size for array in arrays.values())
    most = max(_SMALL, _MAX_SIZE_RATIO * n_stored)
    if len(widths) > len(arrays) or max(image, *widths, *sizes_of_parts) > most:
        raise ValueError("its weights are fewer than its layers need")
