"""Training of a torch module on rows: steps, epochs, early stopping, checkpoints and processes.

Takes a module and rows, and has never heard of scikit-learn. May import models, likelihoods,
serialization and utils.
"""

from ._batches import Rows, chunk_length, column_moments
from ._checkpoint import Checkpoint, CheckpointFile
from ._loop import Epoch, Training, history_of
from ._process_group import ProcessGroup, init_process_group
from ._trainer import DivergenceError, Metrics, Trainer, TrainingConfig

__all__ = [
    "Checkpoint",
    "CheckpointFile",
    "DivergenceError",
    "Epoch",
    "Metrics",
    "ProcessGroup",
    "Rows",
    "Trainer",
    "Training",
    "TrainingConfig",
    "chunk_length",
    "column_moments",
    "history_of",
    "init_process_group",
]
