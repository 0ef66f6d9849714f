"""A progress bar over epochs."""

from __future__ import annotations

from ..utils import import_tqdm
from ._loop import LoopCallback, TrainingLoop

_LABELS = {
    "loss": "loss",
    "reconstruction_loss": "reconstruction",
    "kl_loss": "kl",
    "validation_loss": "validation",
}


class ProgressBar(LoopCallback):
    """A bar with the loss, the two terms of the loss, and the validation loss."""

    def on_train_begin(self, loop: TrainingLoop) -> None:
        n_epochs = loop.trainer.config.max_iter
        self._bar = import_tqdm()(total=n_epochs, initial=len(loop.history), unit="epoch")

    def on_epoch_end(self, loop: TrainingLoop) -> bool:
        metrics = loop.history[-1]
        shown = {
            label: f"{metrics[name]:.2f}" for name, label in _LABELS.items() if name in metrics
        }
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update()
        return False

    def on_train_end(self, loop: TrainingLoop) -> None:
        if loop.trainer.capture_failure is not None:
            self._bar.write(loop.trainer.capture_failure)

    def on_exit(self, loop: TrainingLoop) -> None:
        if hasattr(self, "_bar"):
            self._bar.close()
