"""`dms-jax predict`: a trained run's maps, masks and classes of images."""

from __future__ import annotations

import argparse
import glob
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dms_jax.errors import InterruptionError, UsageError, UserError, some_names, workdir_option

if TYPE_CHECKING:
    from dms_jax.inference.folder.listing import ImageFile
    from dms_jax.inference.folder.predict import FolderSummary
    from dms_jax.inference.interpretation import Interpretation
    from dms_jax.runs.predictor import Predictor

_SHARD = re.compile(r"([0-9]+)/([0-9]+)")
# Bad files that are named on the terminal; the tables have them all.
_NAMED = 3
# Below so many files, processes take longer to start than they save.
_WORTH_PROCESSES = 256


def add_to(commands: Any) -> None:
    """Add the sub-command to argparse's sub-parsers."""
    command = commands.add_parser(
        "predict",
        help="predict images with a trained run",
        description="Write a map, an overlay and a line of the table for each image: which defect it shows, where, and "
        "how certainly. The same command again goes on where it was interrupted.",
    )
    command.add_argument("--workdir", type=Path, required=True, metavar="DIR", help="work directory of a run")
    command.add_argument(
        "--images",
        nargs="+",
        required=True,
        metavar="PATH",
        help="files, folders (with all that is below them) or patterns such as 'line3/*.png'",
    )
    command.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of predictions")
    command.add_argument(
        "--gate",
        action=argparse.BooleanOptionalAction,
        help="multiply maps by the probability of a defect (default: where the run has a defect-free class)",
    )
    command.add_argument("--threshold", type=int, metavar="T", help="map > T is defective, 0..255 (default: the run's)")
    command.add_argument(
        "--max-false-alarms",
        type=float,
        metavar="SHARE",
        help="raise the run's threshold until at most this share of its normal validation images fires, such as 0.01",
    )
    command.add_argument(
        "--tiles",
        type=int,
        metavar="PIXELS",
        help="cut images into overlapping tiles of this side, whatever the run was trained on",
    )
    command.add_argument("--no-overlays", action="store_true", help="write maps and tables alone")
    command.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that read and write (default: one a core beside a GPU, else 0)",
    )
    command.add_argument("--shard", metavar="I/N", help="predict every N-th image, from the I-th on: 1/N to N/N")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Do what the flags say.

    Raises:
      UsageError: a flag's value is out of range, or the run cannot do it.
      UserError: there is no such run or image, or some of the images could not be predicted: the others are. Or the
        user has interrupted it: what is done is kept.
    """
    shard = _check(arguments)
    # Imported late: a mistyped flag is answered at once.
    from tqdm import tqdm

    from dms_jax.inference.folder.listing import list_files, take_shard
    from dms_jax.inference.folder.predict import earlier_predictions, predict_files
    from dms_jax.inference.folder.workers import open_pool
    from dms_jax.runtime.cores import usable_cores
    from dms_jax.runtime.signals import collect_interruptions, interrupted_code

    listed = list_files(arguments.images, earlier_predictions(arguments.output))
    files, suffix = listed, ""
    if shard is not None:
        files, suffix = take_shard(listed, *shard), f"-{shard[0]}-of-{shard[1]}"
    with collect_interruptions("dms-jax") as interruptions:
        predictor, reading = _load(arguments)
        if sentence := _masks_among(files, arguments.images, listed):
            print(f"dms-jax: {sentence}", file=sys.stderr)
        if reading.threshold is None:
            print(f"dms-jax: no masks and no boxes: {reading.note}; give a --threshold.", file=sys.stderr)
        workers = arguments.workers
        if workers is None:
            many = len(files) >= _WORTH_PROCESSES and predictor.batches.calls_at_once > 1
            workers = usable_cores() if many else 0
        bar = tqdm(total=len(files), unit=" images", file=sys.stderr, disable=None, smoothing=0.1)

        def progress(count: int) -> None:
            bar.update(count)
            if interruptions:
                raise InterruptionError(
                    "interrupted: the same command goes on where it stopped.", interrupted_code(interruptions)
                )

        with bar, open_pool(workers, reading.framing.size) as pool:
            summary = predict_files(
                predictor.batches,
                reading,
                files,
                arguments.output,
                model={"run": predictor.workdir.name, "step": predictor.step, "weights": predictor.digest},
                overlays=not arguments.no_overlays,
                pool=pool,
                shard=suffix,
                progress=progress,
            )
    print(_text(summary, arguments.output, reading, overlays=not arguments.no_overlays))
    if summary.failed:
        raise UserError(
            f"{len(summary.failed)} of {len(files)} images could not be predicted, and are in the table with the "
            f"reason: {some_names([reason.rstrip('.') for reason in summary.failed], _NAMED)}."
        )


def _masks_among(files: Sequence[ImageFile], sources: Sequence[str], listed: Sequence[ImageFile]) -> str | None:
    """A sentence on files that lie in folders of masks by their names, below what was named.

    Args:
      files: to be predicted, some or all of `listed`.
      sources: what was named.
      listed: all that it stands for.
    """
    folders = Counter(Path(file.name).parent for file in files)
    masks = list(filter(_is_of_masks, folders))
    if not masks:
        return None
    named = some_names([str(folder) for folder in masks], _NAMED)
    count = sum(folders[folder] for folder in masks)
    pattern = _pattern_without_masks(sources, listed)
    leave_out = f"give --images '{pattern}'" if pattern else "name the folders of the images alone"
    leave_out += " to leave them out"
    return (
        f"{count} of the {len(files)} images lie in folders that are named like those of masks ({named}), and are "
        f"predicted like the others: {leave_out}."
    )


def _pattern_without_masks(sources: Sequence[str], files: Sequence[ImageFile]) -> str | None:
    """A pattern for a folder's images without its masks, where these lie at another depth; it keeps the images' names.

    Args:
      sources: what was named.
      files: all that it stands for.
    """
    folder = sources[0]
    if len(sources) > 1 or glob.has_magic(folder) or not Path(folder).is_dir():
        return None
    depths: dict[bool, set[int]] = {False: set(), True: set()}
    for parent in {Path(file.name).parent for file in files}:
        depths[_is_of_masks(parent)].add(len(parent.parts))
    if not depths[True] or len(depths[False]) != 1 or depths[False] & depths[True]:
        return None
    return str(Path(folder, *["*"] * (depths[False].pop() + 1)))


def _is_of_masks(folder: Path) -> bool:
    from dms_jax.data.datasets.folder.roles import role_of

    return any(role_of(part).holds == "masks" for part in folder.parts)


def _load(arguments: argparse.Namespace) -> tuple[Predictor, Interpretation]:
    from dms_jax.runs.predictor import Predictor

    options = {
        "gates": arguments.gate,
        "threshold": arguments.threshold,
        "max_false_alarms": arguments.max_false_alarms,
    }
    try:
        predictor = Predictor.load(arguments.workdir, **options)
    except ValueError as error:
        raise UsageError(f"{arguments.workdir}: {error}.") from error
    reading = predictor.reading
    if arguments.tiles is not None:
        reading = replace(reading, framing=replace(reading.framing, mode="tiles", tile=arguments.tiles))
    return predictor, reading


def _check(arguments: argparse.Namespace) -> tuple[int, int] | None:
    from dms_jax.data.framing import SMALLEST_TILE

    share, threshold = arguments.max_false_alarms, arguments.threshold
    if threshold is not None and not 0 <= threshold <= 255:
        raise UsageError(f"--threshold={threshold} must be in 0..255.")
    if share is not None and not 0 <= share < 1:
        from dms_jax.inference.description import LIFTING_A_LIMIT

        lifting = LIFTING_A_LIMIT.format(f"{workdir_option(arguments.workdir)} ")
        sentence = f"--max-false-alarms={share} must be at least 0 and below 1, such as 0.01"
        raise UsageError(f"{sentence} ({lifting})." if share == 1 else f"{sentence}.")
    if share is not None and threshold is not None:
        raise UsageError("--threshold and --max-false-alarms exclude each other: give one.")
    if arguments.tiles is not None and arguments.tiles < SMALLEST_TILE:
        raise UsageError(f"--tiles={arguments.tiles} must be at least {SMALLEST_TILE}.")
    if arguments.workers is not None and arguments.workers < 0:
        raise UsageError(f"--workers={arguments.workers} must be at least 0.")
    if arguments.output.exists() and not arguments.output.is_dir():
        raise UsageError(f"--output={arguments.output} is a file: name a folder.")
    if arguments.shard is None:
        return None
    match = _SHARD.fullmatch(arguments.shard)
    number, count = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= count:
        raise UsageError(f"--shard={arguments.shard} is not I/N with 1 <= I <= N, such as 2/8.")
    return number, count


def _text(summary: FolderSummary, output: Path, reading: Interpretation, *, overlays: bool) -> str:
    earlier = f" ({summary.earlier} more had been predicted before)" if summary.earlier else ""
    speed = f", {summary.predicted / summary.seconds:.1f} images/s" if summary.predicted and summary.seconds else ""
    lines = [f"{summary.predicted} images predicted{earlier} in {summary.seconds:.1f} s{speed}"]
    if summary.classes:
        lines.append("classes: " + ", ".join(f"{count} {name}" for name, count in summary.classes.items()))
    if summary.firing is not None and summary.predicted:
        what = "gated map" if reading.gates else "map"
        count = f"{summary.firing} of these {summary.predicted}" if earlier else str(summary.firing)
        lines.append(f"with a defective pixel: {count} ({what} > {reading.threshold}: {reading.note})")
    lines.append(f"{'maps, overlays and tables' if overlays else 'maps and tables'} are in {output}")
    return "\n".join(lines)
