"""From a configuration to the objects that it describes."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from dms_jax.comparison.deep import DEEP_NETWORKS
from dms_jax.data.cache import ExampleCache
from dms_jax.data.crops import CropNames, CropSource
from dms_jax.data.framing import Framing
from dms_jax.data.pipeline import training_batches, training_order
from dms_jax.errors import UsageError
from dms_jax.evaluation.scoring import ImageRow, Metric
from dms_jax.models.dms import NETWORKS
from dms_jax.models.network import Network
from dms_jax.models.resnext import BACKBONES
from dms_jax.references import is_reference, resolve
from dms_jax.runs.config.fields import flatten
from dms_jax.runs.config.options import check_options
from dms_jax.runs.splits import Splits
from dms_jax.runtime.cuda_graphs import compile_recorded
from dms_jax.runtime.devices import Batch, batch_sharding
from dms_jax.training.augment import AugmentConfig
from dms_jax.training.losses import LossConfig
from dms_jax.training.objective import Objective
from dms_jax.training.optimizer import OptimizerConfig
from dms_jax.training.state import TrainState
from dms_jax.training.step import abstract_batch, make_train_step

Described = TypeVar("Described")


def build_model(
    config: ConfigDict, num_classes: int, axis_name: str | None = None, *, saliency_prior: float | None = None
) -> Network:
    """The network that the configuration describes.

    Args:
      config: the configuration.
      num_classes: image-level classes, the defect-free one included.
      axis_name: of the devices that may share statistics.
      saliency_prior: the probability at which saliency maps start; see `dms_jax.models.DMS`.

    Raises:
      UsageError: it names a network or a backbone that cannot be had, or fields that do not fit together.
    """
    model = config.model
    fields: dict[str, Any] = {
        "num_classes": num_classes,
        "dtype": compute_dtype(config),
        "axis_name": axis_name if model.shared_statistics else None,
    }
    options = model.options.to_dict()
    for name in sorted(fields.keys() & options.keys()):
        raise UsageError(
            f"config.model.options.{name} cannot be set, as a run gives it to every network: leave it out."
        )
    if is_reference(model.network):
        return _described("model.network", resolve("config.model.network", model.network), {**fields, **options})
    network = DEEP_NETWORKS.get(model.network) or NETWORKS[model.network]
    # The configuration's saliency prior is whether there is one, a network's how large it is.
    check_options(network, options, of_model=set(model) - {"saliency_prior"}, of_run=fields.keys())
    fields |= {"saliency_prior": saliency_prior, **network.sizes[model.size], **BACKBONES.get(model.backbone, {})}
    if model.network in DEEP_NETWORKS:
        return _described("model", network, {**fields, **options})
    if is_reference(model.backbone):
        fields["backbone"] = _described("model.backbone", resolve("config.model.backbone", model.backbone), {})
    if model.feature_growth:
        fields["feature_growth"] = model.feature_growth
    if model.schedule:
        fields["schedule"] = tuple(model.schedule)
    fields |= {
        "ablation": model.ablation,
        "class_pooling": model.class_pooling,
        "frozen_statistics": model.frozen_statistics,
        "remat": model.remat,
        # A recipe sets it for our backbones; those of others have no such thing.
        "zero_init_residual": model.zero_init_residual and not is_reference(model.backbone),
    }
    return _described("model", network, {**fields, **options})


def compute_dtype(config: ConfigDict) -> Any:
    """The type to compute in: "auto" is bfloat16 on an accelerator and float32 on a CPU."""
    if config.dtype == "auto":
        return jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16
    return jnp.dtype(config.dtype)


def augment_config(config: ConfigDict) -> AugmentConfig:
    """The random transforms that the configuration describes."""
    return _describe(AugmentConfig, config, "augment")


def loss_config(config: ConfigDict) -> LossConfig:
    """The weights of the loss that the configuration describes."""
    for name, value in flatten(config.loss).items():
        numbers = value if isinstance(value, tuple) else (value,)
        if any(not isinstance(number, str) and number < 0 for number in numbers):
            raise UsageError(f"config.loss.{name}={value} must not be negative.")
    return _describe(LossConfig, config, "loss")


def optimizer_config(config: ConfigDict) -> OptimizerConfig:
    """The optimiser that the configuration describes."""
    return _describe(OptimizerConfig, config, "optimizer")


def extra_metrics(config: ConfigDict) -> dict[str, Metric]:
    """The further metrics that the configuration names, by the last part of their names.

    Raises:
      UsageError: one of them cannot be had, is no function, or has the name of another metric.
    """
    metrics: dict[str, Metric] = {}
    taken = {field.name for field in dataclasses.fields(ImageRow)}
    for reference in config.evaluation.metrics:
        name = reference.rpartition(":")[2]
        if name in taken:
            raise UsageError(f"config.evaluation.metrics: {reference} has the name of another metric: rename it.")
        metrics[name] = resolve("config.evaluation.metrics", reference)
        if not callable(metrics[name]):
            raise UsageError(f"config.evaluation.metrics: {reference} is not a function: name one.")
        taken.add(name)
    return metrics


def framing_config(config: ConfigDict) -> Framing:
    """The crops that the configuration would have the network see."""
    data = config.data
    try:
        return Framing(data.resize, size=data.image_size, tile=data.tile_size, overlap=data.tile_overlap)
    except ValueError as error:
        raise UsageError(f"config.data.resize: {error}") from error


def reading_options(config: ConfigDict) -> dict[str, Any]:
    """How this process reads its part of the batches: arguments of `dms_jax.data.pipeline`."""
    return {
        "batch_size": config.batch_size,
        "threads": config.data.threads,
        "process_index": jax.process_index(),
        "process_count": jax.process_count(),
    }


def objective(config: ConfigDict, model: Network, *, ignores: bool = False) -> Objective:
    """What a training step differentiates."""
    return Objective(model, loss_config(config), augment_config(config), config.seed, ignores)


def compile_train_step(
    config: ConfigDict,
    model: Network,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    state: TrainState,
    *,
    ignores: bool = False,
    donate: bool = True,
    on_lowered: Callable[[], object] = lambda: None,
) -> Callable[[TrainState, Batch], TrainState]:
    """Compile the step for the configuration's batches and for states like the given one, which may be abstract.

    It takes batches `with_seed`: what one run has compiled, those of other seeds find in JAX's cache. For `ignores` and
    `donate` see `dms_jax.training.step.make_train_step`, for `on_lowered` `dms_jax.runtime.compilation.compile_ahead`.
    """
    train_step = make_train_step(
        model,
        optimizer,
        mesh,
        loss=loss_config(config),
        augment=augment_config(config),
        seed=config.seed,
        average_decay=config.average_decay,
        deterministic=config.deterministic,
        ignores=ignores,
        donate=donate,
    )
    batch = dict(abstract_batch(config.batch_size, config.data.image_size, mesh))
    batch["seed"] = jax.ShapeDtypeStruct((config.batch_size,), np.uint32, sharding=batch_sharding(mesh))
    return compile_recorded(train_step, mesh, state, batch, on_lowered=on_lowered)


def with_seed(config: ConfigDict, batch: Batch) -> Batch:
    """A batch, or this process's part of one, with the run's seed beside each of its images, as a step takes it."""
    return {**batch, "seed": np.full(len(batch["label"]), config.seed, np.uint32)}


def read_training_batches(config: ConfigDict, splits: Splits) -> grain.DatasetIterator:
    """This process's part of the training batches, endless; see `dms_jax.data.pipeline.training_batches`.

    Crops are cached up to `config.data.cache`, which the worker processes share out among them.
    """
    cache = ExampleCache(int(config.data.cache * 2**30) // max(config.data.workers, 1))
    order = _training_order(config, _training_crops(config, splits, cache))
    return training_batches(order, workers=config.data.workers, **reading_options(config))


def names_in_batch(config: ConfigDict, splits: Splits, step: int) -> list[str]:
    """The names of the images, or of their tiles, that a step learns from, those of all processes; step 1 is the first.

    As in the dataset: see `dms_jax.data.examples.ExampleSource`.
    """
    order = _training_order(config, [CropNames(crops) for crops in _training_crops(config, splits, None)])
    return [order[index] for index in range((step - 1) * config.batch_size, step * config.batch_size)]


def _training_crops(config: ConfigDict, splits: Splits, cache: ExampleCache | None) -> list[CropSource]:
    framing = framing_config(config)
    return [CropSource(source, framing, cache) for source in splits.train]


def _training_order(config: ConfigDict, crops: Sequence[CropSource | CropNames]) -> grain.MapDataset:
    return training_order(
        crops,
        seed=config.seed,
        defective_fraction=config.data.balance,
        masked_fraction=config.data.mask_balance,
    )


def _describe(kind: Callable[..., Described], config: ConfigDict, section: str) -> Described:
    return _described(section, kind, dict(config[section]))


def _described(section: str, kind: Callable[..., Described], fields: dict[str, Any]) -> Described:
    try:
        return kind(**fields)
    except (TypeError, ValueError) as error:
        raise UsageError(f"config.{section}: {error}") from error
