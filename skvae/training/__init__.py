"""Training of a torch module on rows: steps, epochs, early stopping, checkpoints and processes.

Takes a module and rows, and has never heard of scikit-learn. May import models, likelihoods,
serialization and utils.
"""

from ._batches import Rows, chunk_length, column_moments
from ._checkpoint import Checkpoint, CheckpointFile
from ._loop import Epoch, Training, history_of
from ._process_group import Team, join_team
from ._trainer import DivergenceError, Recipe, Record, Trainer

__all__ = [
    "Checkpoint",
    "CheckpointFile",
    "DivergenceError",
    "Epoch",
    "Recipe",
    "Record",
    "Rows",
    "Team",
    "Trainer",
    "Training",
    "chunk_length",
    "column_moments",
    "history_of",
    "join_team",
]
