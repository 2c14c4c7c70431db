"""Every field of a configuration with its default, the recipes, and the parsing of a configuration's argument."""

from ml_collections import ConfigDict

from dms_jax.comparison.deep import DEEP_NETWORKS
from dms_jax.data.datasets import DATASETS
from dms_jax.errors import UsageError
from dms_jax.models.dms import ABLATIONS, SIZES
from dms_jax.models.resnext import BACKBONES
from dms_jax.references import OR_YOUR_OWN, is_reference


def default_config() -> ConfigDict:
    """The paper's recipe (section 4.1) with its lineage's augmentation, for BDMS on MTDD."""
    config = ConfigDict()
    config.seed = 0
    config.batch_size = 16  # of all devices together
    config.steps = 20_000
    config.dtype = "auto"  # of the computation: bfloat16 on an accelerator, float32 on a CPU
    # The same numbers to the last bit each time on a GPU; the first step comes sooner, each step takes a little longer.
    config.deterministic = False

    config.model = ConfigDict()
    # bdms, sdms, or one of docs/comparison-networks.md; or your own: MODULE:NAME or FILE.py:NAME (docs/extending.md).
    config.model.network = "bdms"
    config.model.options = ConfigDict()  # further fields of the network, as --config.model.options.side_channels=128
    config.model.schedule = ()  # of the refinement steps, such as ("HF", "MF", "LF"); empty: the network's
    config.model.size = "full"  # lite, medium, small: docs/performance.md
    # resnext101_32x4d, resnext101_32x8d, resnext101_64x4d, resnext50_32x4d, resnet50, resnet101; empty: the size's; or
    # a backbone of your own: MODULE:NAME or FILE.py:NAME.
    config.model.backbone = ""
    config.model.ablation = ""  # a, b, c, d, e, baseline: the paper's Tables 2 and 3
    config.model.feature_growth = ""  # concat, reduce; empty: as the size has it
    config.model.saliency_prior = True  # saliency starts at the training set's share of defective pixels

    # Several devices normalise by the whole batch, as one would; False: each by its own images.
    config.model.shared_statistics = True

    # What the class heads of SDMS and BDMS see: average, of all features as in the paper; saliency, those where the map
    # is; or blend, the same and the average where the map shows nothing. Other networks pass over it.
    config.model.class_pooling = "average"
    # Each bottleneck of an SDMS's or BDMS's backbone begins as its shortcut alone; other networks pass over it.
    config.model.zero_init_residual = False
    config.model.remat = False  # about half the memory in training, for more time: the same numbers
    # Where BatchNorm keeps the statistics that it started from: backbone or all; empty: nowhere.
    config.model.frozen_statistics = ""

    # What the first step starts from, in this order of precedence; random numbers elsewhere.
    config.init = ConfigDict()
    config.init.checkpoint = ""  # work directory of another run: its best network
    config.init.skip = ""  # comma-separated patterns of what not to take from it, such as step*/classes
    config.init.backbone = ""  # what `dms-jax import-weights` wrote

    config.data = ConfigDict()
    config.data.dataset = "mtdd"
    # Of mtdd: paper or tiles; of neu_seg: published or grouped; of neu_det: hashed or folders; empty: the first.
    config.data.split = ""
    # A local copy of the dataset as published; empty: download it, if it can be. For folder: your images, or a CSV.
    config.data.manual_dir = ""
    config.data.skip_bad = False  # leave out files that cannot be used, and say which; False: refuse the dataset
    config.data.mask_values = ""  # of folder: which values of masks are defective, like "1-4,ignore:255" or "#ff0000"
    config.data.value_range = ""  # of folder: black and white of images of more than 8 bits, like "0,4095"
    config.data.data_dir = ""  # where prepared datasets are kept; empty: ~/tensorflow_datasets
    config.data.image_size = 300  # side of the crops that the network sees, in pixels
    # How an image becomes crops: squash (as the paper does), letterbox (keeps the aspect) or tiles (overlapping).
    config.data.resize = "squash"
    config.data.tile_size = 0  # side of a tile in the image's own pixels; 0: image_size
    config.data.tile_overlap = 0.25  # share of its side by which a tile overlaps the next, at least
    config.data.balance = 0.0  # share of defective images in the batches; 0: as they come
    # Of these, the share of those with a mask, where some have none; 0: as they come.
    config.data.mask_balance = 0.0
    # What the best checkpoint is chosen by; test (as the paper seems to) and none (the last one) train on all of train.
    config.data.select_on = "validation"
    # Of train and validation together, so many parts, of which one is for validation instead; 0: the dataset's own.
    config.data.folds = 0
    config.data.fold = 0  # which one: 0 to folds - 1
    # What of the training images is used; what the seed draws is part of what it draws where more is asked for.
    config.data.train_images = 0  # images of each class by its share, whole groups after one another; 0: all
    config.data.mask_share = 1.0  # share of the defective ones whose mask is used; the others teach their class alone
    config.data.without = ""  # comma-separated classes whose images are in neither training nor validation
    config.data.overfit = 0  # train and test on this many training images: a check that learning works at all
    config.data.workers = 0  # processes that load images, each with its part of the cache; 0: threads only
    config.data.threads = 8
    # GiB of training crops to cache, the first ones, once they are decoded; 0: each is decoded every time. A quarter as
    # much again for the crops that the best checkpoint is chosen on.
    config.data.cache = 2.0
    config.data.synthetic = ConfigDict({"seed": 0, "size": 96, "images": 480})

    config.augment = ConfigDict()
    config.augment.horizontal_flip = True
    config.augment.vertical_flip = False
    config.augment.rotation = 10.0  # degrees
    config.augment.scale = (1.0, 1.0)
    config.augment.shift = 0.0  # fraction of the image's side
    config.augment.brightness = 0.0
    config.augment.contrast = 0.0
    config.augment.paste = 0.0  # share of the normal images that get a drawn defect, of no class

    config.loss = ConfigDict()
    config.loss.saliency_weight = 1.0  # w1
    config.loss.class_weight = 0.01  # w2
    config.loss.output_weights = ()  # w_n; empty: 1 each
    config.loss.iou_weight = 0.0  # of each output's soft IoU, which the paper does not have; 0: none
    config.loss.iou_on = "all"  # images that the soft IoU is of: all, or defective
    config.loss.ssim_weight = 0.0  # of each output's structural similarity, as in BASNet; 0: none
    config.loss.edge_weight = 1.0  # of the masks' edges, for a network that gives a map of them, as EGNet
    # Of an image with a pasted defect in the class term: that it is not of the class that it was; 0: not in it.
    config.loss.pasted_weight = 0.0

    config.optimizer = ConfigDict()
    config.optimizer.name = "sgd"  # the paper's; adamw, muon
    config.optimizer.learning_rate = 1e-3
    config.optimizer.momentum = 0.9  # of adamw and muon: beta_1
    config.optimizer.weight_decay = 5e-4  # of adamw and muon: decoupled, of kernels alone, and times the learning rate
    config.optimizer.power = 0.9
    config.optimizer.warmup_steps = 0
    config.optimizer.double_bias_rate = False  # as in R3Net: biases at twice the rate, without decay
    config.optimizer.backbone_multiplier = 1.0  # of the learning rate
    config.optimizer.clip_norm = 0.0  # largest norm of the gradient, which is shortened to it; 0: any
    config.average_decay = 0.0  # exponential moving average of the weights, which is then tested; 0: none

    config.evaluation = ConfigDict()
    # Further metrics of your own, MODULE:NAME or FILE.py:NAME each: functions of a map and a mask (docs/extending.md).
    config.evaluation.metrics = ()
    # The share of the normal validation images that may fire: the threshold is raised as far as that needs. 1: however
    # many, and the threshold is the one with the best F1.
    config.evaluation.max_false_alarms = 1.0

    config.report = True  # write report.html, a page with all test images, at the end
    config.tensorboard_images = 4  # of validation, shown in TensorBoard each time: truth outlined, and the map

    config.log_every = 50
    config.evaluate_every = 1000
    config.checkpoint_every = 5000  # and when it is interrupted, and at the end; the best network with it
    config.keep_checkpoints = 2
    return config


def parse_argument(argument: str | None, **defaults: str) -> dict[str, str]:
    """Read a configuration's argument, as in `configs/bdms.py:size=lite,split=tiles`.

    Args:
      argument: comma-separated `key=value`, or None.
      **defaults: the known keys with the value of each where it is not given.

    Returns:
      Every known key with its value.

    Raises:
      UsageError: a key is unknown or given twice, or a part is not `key=value`.
    """
    values = {}
    for part in filter(None, (argument or "").split(",")):
        key, separator, value = part.partition("=")
        if not defaults:
            raise UsageError(f"config argument {part!r} is not understood: this configuration takes none.")
        if not separator:
            raise UsageError(f"config argument {part!r} is not key=value; known keys are {', '.join(defaults)}.")
        if key not in defaults:
            raise UsageError(f"config argument {key!r} is unknown; known keys are {', '.join(defaults)}.")
        if key in values:
            raise UsageError(f"config argument {key!r} is given twice.")
        values[key] = value
    return {**defaults, **values}


def choose(key: str, value: str, known: tuple[str, ...], *, references: bool = False) -> str:
    """Return the value if it is one of the known ones, or may be and is a reference (`dms_jax.references`).

    Raises:
      UsageError: it is not.
    """
    if value not in known and not (references and is_reference(value)):
        if not any(known):
            raise UsageError(f"config argument {key}={value!r} is not for this method: leave {key} out.")
        listed = ", ".join([*filter(None, known), *([OR_YOUR_OWN] if references else [])])
        raise UsageError(f"config argument {key}={value!r} is unknown; known are {listed}.")
    return value


def network_config(network: str, argument: str | None) -> ConfigDict:
    """The paper's settings for either network."""
    chosen = parse_argument(argument, dataset="mtdd", split="", size="full", backbone="", ablation="", recipe="paper")
    config = default_config()
    config.model.network = network
    config.model.size = choose("size", chosen["size"], tuple(SIZES))
    config.model.backbone = choose("backbone", chosen["backbone"], ("", *BACKBONES), references=True)
    config.model.ablation = choose("ablation", chosen["ablation"], ABLATIONS)
    _apply_data_and_recipe(config, chosen)
    return config


def comparison_config(argument: str | None) -> ConfigDict:
    """One of the deep methods of the paper's Table 4, with the settings that SDMS and BDMS have.

    Its loss is theirs too, but with `loss=published` that of its own paper, as far as `config.loss` has it; and its
    convolutions are normalised, but with `norm=none` as in its paper, if that does without.
    """
    chosen = parse_argument(
        argument,
        method="unet",
        dataset="mtdd",
        split="",
        size="full",
        backbone="",
        recipe="paper",
        loss="shared",
        norm="",
    )
    config = default_config()
    config.model.network = choose("method", chosen["method"], tuple(DEEP_NETWORKS))
    network = DEEP_NETWORKS[config.model.network]
    config.model.size = choose("size", chosen["size"], tuple(network.sizes))
    config.model.backbone = choose("backbone", chosen["backbone"], ("", *network.backbones))
    if choose("norm", chosen["norm"], ("", "batch", "none") if hasattr(network, "batch_norm") else ("",)) == "none":
        config.model.options.batch_norm = False
    _apply_data_and_recipe(config, chosen)
    if choose("loss", chosen["loss"], ("shared", "published")) == "published":
        config.loss.update(network.published_loss)
    return config


def _apply_data_and_recipe(config: ConfigDict, chosen: dict[str, str]) -> None:
    config.data.dataset = choose("dataset", chosen["dataset"], tuple(DATASETS), references=True)
    config.data.split = chosen["split"]
    RECIPES[choose("recipe", chosen["recipe"], tuple(RECIPES))](config)


def apply_paper_recipe(config: ConfigDict) -> None:
    """Leave everything as section 4.1 has it."""


def apply_scratch_recipe(config: ConfigDict) -> None:
    """From random weights: Muon, residual blocks that begin as their shortcut, and class heads that see the defect.

    Otherwise as `apply_adamw_recipe`, at four times its rate, for half of its steps, on squares of 384 pixels instead
    of 300. docs/training.md says what each of these does, docs/recipe-search.md what was tried.
    """
    apply_adamw_recipe(config)
    config.steps = 3_500
    config.optimizer.name = "muon"
    config.optimizer.learning_rate = 4e-3
    config.data.image_size = 384
    config.model.zero_init_residual = True
    config.model.class_pooling = "saliency"


def apply_adamw_recipe(config: ConfigDict) -> None:
    """From random weights: AdamW, soft IoU in the loss, and defects pasted on normal images.

    Otherwise as `apply_sgd_recipe`.
    """
    apply_sgd_recipe(config)
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.weight_decay = 0.05
    config.optimizer.warmup_steps = 500
    config.optimizer.clip_norm = 1.0
    config.loss.iou_weight = 1.0
    config.augment.paste = 0.5


def apply_sgd_recipe(config: ConfigDict) -> None:
    """The paper's loss and SGD from random weights: a higher rate, more augmentation, balanced batches, an average."""
    config.steps = 7_000
    config.optimizer.learning_rate = 0.02
    config.optimizer.warmup_steps = 300
    config.loss.class_weight = 0.1
    config.augment.vertical_flip = True
    config.augment.scale = (0.75, 1.15)
    config.augment.shift = 0.05
    config.augment.brightness = 0.1
    config.augment.contrast = 0.2
    config.data.balance = 0.5
    config.average_decay = 0.998


RECIPES = {
    "paper": apply_paper_recipe,
    "scratch": apply_scratch_recipe,
    "adamw": apply_adamw_recipe,
    "sgd": apply_sgd_recipe,
}
