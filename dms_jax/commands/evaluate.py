"""`dms-jax evaluate`: folders of saliency maps, and trained runs, to tables and files of metrics."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dms_jax.commands.output_files import check_output_file
from dms_jax.errors import UsageError

if TYPE_CHECKING:
    from dms_jax.data.mask_values import MaskValues
    from dms_jax.evaluation.maps.evaluate import MapResults
    from dms_jax.evaluation.maps.labels import Labels
    from dms_jax.evaluation.thresholds import OperatingThreshold
    from dms_jax.runs.testing import RunEvaluation

_MAP_OPTIONS = (
    *("masks", "mask_values", "labels", "free_class", "threshold"),
    *("validation_maps", "validation_masks", "resize"),
)
_RUN_OPTIONS = ("split", "data_dir", "manual_dir", "max_false_alarms", "flips")


def add_to(commands: Any) -> None:
    """Add the sub-command to argparse's sub-parsers."""
    command = commands.add_parser(
        "evaluate",
        help="score saliency maps, or a trained run",
        description="Score a folder of saliency maps from any method, or a trained run: MAE and maxF in the field's "
        "convention, and beside them the metrics of the defective images, of each class and of whole images.",
    )
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("--maps", type=Path, metavar="DIR", help="8-bit grey maps, at the size of their masks")
    what.add_argument("--workdir", type=Path, metavar="DIR", help="work directory of a run")
    what.add_argument("--compare", type=Path, nargs="+", metavar="DIR", help="folders of maps and runs, in one table")
    maps = command.add_argument_group("for folders of maps")
    maps.add_argument("--masks", type=Path, metavar="DIR", help="the masks, of the same names; 255 is defective")
    maps.add_argument("--mask-values", metavar="LIST", help="defective values of the masks, like 1-4,ignore:255")
    maps.add_argument("--labels", type=Path, metavar="CSV", help="with columns name, label and optionally predicted")
    maps.add_argument("--free-class", metavar="NAME", help="label of sound images (default: free, good, normal or ok)")
    maps.add_argument("--threshold", type=int, metavar="T", help="call map > T defective, 0..255")
    maps.add_argument("--validation-maps", type=Path, metavar="DIR", help="or choose that threshold on these maps")
    maps.add_argument("--validation-masks", type=Path, metavar="DIR", help="and their masks")
    maps.add_argument("--resize", action="store_true", help="bring maps of another size to their mask's (bilinear)")
    runs = command.add_argument_group("for runs")
    runs.add_argument("--split", choices=("train", "validation", "test"), help="of the run's dataset (default: test)")
    runs.add_argument("--data-dir", metavar="DIR", help="where prepared datasets are kept, if not where they were")
    runs.add_argument("--manual-dir", metavar="DIR", help="the dataset's files, if not where they were")
    runs.add_argument("--onnx", type=Path, metavar="FILE", help="score this file, exported from the run, in its place")
    runs.add_argument(
        "--max-false-alarms",
        type=float,
        metavar="SHARE",
        help="raise the threshold until at most this share of the normal validation images fires, such as 0.01; "
        "kept in the run when it is evaluated on test",
    )
    runs.add_argument(
        "--flips",
        action="store_true",
        help="average each prediction over the flips that the run was trained with; nothing is kept in the run",
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="write all metrics to this file")
    command.add_argument("--csv", type=Path, metavar="FILE", help="write each image's scores to this file, worst first")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Do what the flags say.

    Raises:
      UsageError: flags that do not belong together, or a value out of range.
      UserError: what is to be scored cannot be.
    """
    _check(arguments)
    if arguments.compare:
        _compare(arguments)
    elif arguments.workdir:
        _evaluate_run(arguments)
    else:
        _evaluate_maps(arguments)


def _check(arguments: argparse.Namespace) -> None:
    compared = [path for path in arguments.compare or () if not _is_run(path)]
    if (arguments.maps or compared) and not arguments.masks:
        raise UsageError(f"--masks is missing: name the folder of masks for {arguments.maps or compared[0]}.")
    if arguments.workdir:
        _refuse(arguments, _MAP_OPTIONS, "--workdir")
    if arguments.onnx:
        _refuse(arguments, ("flips",), "--onnx")
    if arguments.maps:
        _refuse(arguments, (*_RUN_OPTIONS, "onnx"), "--maps")
    if arguments.compare:
        _refuse(arguments, ("csv", "onnx", "flips"), "--compare")
        if not compared:
            _refuse(arguments, _MAP_OPTIONS, "runs alone")
        elif len(compared) == len(arguments.compare):
            _refuse(arguments, _RUN_OPTIONS, "folders of maps alone")
        if len(set(arguments.compare)) < len(arguments.compare):
            raise UsageError("--compare names a folder twice: name each once.")
    if arguments.threshold is not None and not 0 <= arguments.threshold <= 255:
        raise UsageError(f"--threshold={arguments.threshold} must be in 0..255.")
    share = arguments.max_false_alarms
    if share is not None and not 0 <= share <= 1:
        raise UsageError(f"--max-false-alarms={share} must be in 0..1, such as 0.01 for one normal image in a hundred.")
    if bool(arguments.validation_maps) != bool(arguments.validation_masks):
        raise UsageError("--validation-maps and --validation-masks belong together: give both.")
    if arguments.validation_maps and arguments.threshold is not None:
        raise UsageError("--threshold and --validation-maps exclude each other: give one.")
    if arguments.validation_maps and arguments.compare:
        raise UsageError("--validation-maps belongs to one folder of maps: give --maps instead of --compare.")
    if arguments.free_class is not None and not arguments.labels:
        raise UsageError("--free-class names one of the labels: give --labels too.")
    # A list that is not understood is refused before any map is read.
    _mask_values(arguments)
    for file in (arguments.json, arguments.csv):
        if file is not None:
            check_output_file(file)
    if arguments.json is not None and arguments.json == arguments.csv:
        raise UsageError(f"--json and --csv both name {arguments.json}: name two files.")


def _refuse(arguments: argparse.Namespace, options: Iterable[str], beside: str) -> None:
    for option in options:
        value = getattr(arguments, option)
        # Not `in (None, False)`, in which 0 is.
        if value is not None and value is not False:
            raise UsageError(f"--{option.replace('_', '-')} has no meaning beside {beside}: leave it out.")


def _evaluate_maps(arguments: argparse.Namespace) -> None:
    from dms_jax.evaluation.result_files import write_image_table, write_results
    from dms_jax.evaluation.results_text import details_text, outputs_table

    threshold = _threshold(arguments)
    results = _score_maps(arguments, arguments.maps, _read_labels(arguments), threshold)
    if threshold is None:
        _propose_threshold(arguments.maps)
    metrics = results.metrics
    defective = metrics["defective"]["images"]
    print(f"{arguments.maps}: {metrics['images']} maps, {defective} of defective images")
    print(f"{outputs_table(metrics)}\n\n{details_text(metrics)}")
    if arguments.json:
        write_results({"maps": str(arguments.maps), **metrics, "notes": list(results.notes)}, arguments.json)
    if arguments.csv:
        write_image_table(results.evaluation.rows, results.class_names, arguments.csv, results.free_class)


def _propose_threshold(maps: Path) -> None:
    """Name the threshold that `dms-jax predict` wrote beside its maps."""
    file = maps.resolve().parent / "predictions.json"
    try:
        threshold = json.loads(file.read_text(encoding="utf-8"))["threshold"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if isinstance(threshold, int):
        said = f"{file} says what these maps were judged by when they were predicted: --threshold {threshold}."
        print(f"dms-jax: {said}", file=sys.stderr)


def _evaluate_run(arguments: argparse.Namespace) -> None:
    from dms_jax.inference.exported.forms import check_onnx_file
    from dms_jax.runs.config.saved import load_run

    # Before what imports JAX: a mistyped path is answered at once.
    load_run(arguments.workdir)
    if arguments.onnx:
        check_onnx_file(arguments.onnx)
    from dms_jax.evaluation.result_files import write_image_table, write_results
    from dms_jax.runs.results import results_text

    options = {name: getattr(arguments, name) for name in ("data_dir", "manual_dir", "max_false_alarms")}
    split = arguments.split or "test"
    if arguments.onnx:
        from dms_jax.runs.exporting import evaluate_onnx

        tested = evaluate_onnx(arguments.onnx, arguments.workdir, split, **options)
    else:
        from dms_jax.runs.testing import evaluate_run

        tested = evaluate_run(arguments.workdir, split, **options, flips=arguments.flips)
    _print_notes(tested)
    if arguments.onnx:
        print(f"{arguments.onnx}, in the place of the run's network:")
    if arguments.flips:
        print("each prediction averaged over flips:")
    print(results_text(tested.results))
    if arguments.json:
        write_results(tested.results, arguments.json)
    if arguments.csv:
        write_image_table(tested.evaluation.rows, tested.class_names, arguments.csv, tested.free_class)


def _compare(arguments: argparse.Namespace) -> None:
    from dms_jax.evaluation.result_files import write_results
    from dms_jax.evaluation.results_text import comparison_table

    labels, threshold = None, None
    if arguments.masks:
        labels, threshold = _read_labels(arguments), _threshold(arguments)
    compared = {}
    for path in arguments.compare:
        if _is_run(path):
            from dms_jax.runs.testing import evaluate_run

            split = arguments.split or "test"
            tested = evaluate_run(
                *(path, split),
                data_dir=arguments.data_dir,
                manual_dir=arguments.manual_dir,
                max_false_alarms=arguments.max_false_alarms,
            )
            _print_notes(tested)
            compared[str(path)] = tested.results
        else:
            compared[str(path)] = _score_maps(arguments, path, labels, threshold).metrics
    print(comparison_table(compared))
    first, *others = compared
    for name in others:
        if not _same_masks(compared[first], compared[name]):
            print(f"dms-jax: {name} was not measured on the images of {first}: do not compare them.", file=sys.stderr)
    if arguments.json:
        write_results(compared, arguments.json)


def _score_maps(
    arguments: argparse.Namespace, maps: Path, labels: Labels | None, threshold: OperatingThreshold | None
) -> MapResults:
    from dms_jax.evaluation.maps.evaluate import evaluate_maps

    results = evaluate_maps(
        *(maps, arguments.masks),
        labels=labels,
        threshold=threshold,
        resize=arguments.resize,
        mask_values=_mask_values(arguments),
    )
    _print_notes(results)
    return results


def _mask_values(arguments: argparse.Namespace) -> MaskValues | None:
    from dms_jax.data.mask_values import MaskValues

    return MaskValues.parse(arguments.mask_values or "")


def _print_notes(results: MapResults | RunEvaluation) -> None:
    for note in results.notes:
        print(f"dms-jax: {note}", file=sys.stderr)


def _read_labels(arguments: argparse.Namespace) -> Labels | None:
    from dms_jax.evaluation.maps.labels import read_labels

    if arguments.labels is None:
        return None
    labels = read_labels(arguments.labels, arguments.free_class)
    if arguments.free_class is not None and labels.free_class is None:
        known = ", ".join(labels.class_names)
        raise UsageError(f"--free-class={arguments.free_class} is no label in {arguments.labels}: they are {known}.")
    return labels


def _threshold(arguments: argparse.Namespace) -> OperatingThreshold | None:
    from dms_jax.evaluation.maps.evaluate import evaluate_maps
    from dms_jax.evaluation.thresholds import choose_threshold, given_threshold

    if arguments.threshold is not None:
        return given_threshold(arguments.threshold)
    if not arguments.validation_maps:
        return None
    maps, masks = arguments.validation_maps, arguments.validation_masks
    if maps.resolve() == arguments.maps.resolve():
        raise UsageError(f"--validation-maps={maps} are the maps to be tested: choose the threshold on others.")
    if masks.resolve() == arguments.masks.resolve():
        raise UsageError(f"--validation-masks={masks} belong to the test: choose the threshold on other images.")
    values = _mask_values(arguments)
    results = evaluate_maps(maps, masks, resize=arguments.resize, with_sod=False, mask_values=values)
    _print_notes(results)
    return choose_threshold(results.evaluation, str(maps))


def _is_run(path: Path) -> bool:
    return (path / "config.json").is_file()


def _same_masks(metrics: dict[str, Any], others: dict[str, Any]) -> bool:
    """Whether two sets of metrics are of the same masks, as far as their count and their mean tell."""
    # None where no mask is known.
    means = [each["all_black"]["mae"] or 0.0 for each in (metrics, others)]
    return metrics["images"] == others["images"] and abs(means[0] - means[1]) < 1e-9
