"""The training batches that a configuration describes."""

import grain
from ml_collections import ConfigDict

from dms_jax.data.memory import Memory
from dms_jax.data.pieces import PieceSource
from dms_jax.data.pipeline import training_batches, training_order
from dms_jax.training import configuration
from dms_jax.training.splits import Splits


def read_training_batches(config: ConfigDict, splits: Splits) -> grain.DatasetIterator:
    """This process's part of the training batches, endless; see `dms_jax.data.pipeline.training_batches`.

    Squares are kept in memory once they are cut, up to `config.data.memory`, of which each worker process has its part.
    """
    framing = configuration.framing_config(config)
    memory = Memory(int(config.data.memory * 2**30) // max(config.data.workers, 1))
    pieces = [PieceSource(source, framing, memory) for source in splits.train]
    order = training_order(pieces, seed=config.seed, defective_fraction=config.data.balance)
    return training_batches(order, workers=config.data.workers, **configuration.reading_options(config))
