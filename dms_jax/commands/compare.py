"""`dms-jax compare`: other methods' maps, made or read, and finished runs, in one table beside the paper's Table 4."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dms_jax.commands.dataset_flags import add_dataset_flags
from dms_jax.commands.output_files import check_output_file
from dms_jax.errors import UsageError, some_names

if TYPE_CHECKING:
    from dms_jax.comparison.rows import Row
    from dms_jax.data.examples import ExampleSource

_MASKS = "masks"
# So many files are named in a sentence; the others are counted.
_NAMED = 3


def add_to(commands: Any) -> None:
    """Add the sub-command to argparse's sub-parsers."""
    command = commands.add_parser(
        "compare",
        help="compute the methods that the paper compares with",
        description="Make the maps of other methods on a dataset's test images and score them, with folders of maps "
        "and runs in the same table, beside the numbers of the paper's Table 4.",
    )
    add_dataset_flags(command)
    command.add_argument("--methods", metavar="LIST", help="all, or names like LC,SR: compute and write their maps")
    command.add_argument(
        "--maps", type=_named, action="append", default=[], metavar="NAME=DIR", help="a folder of maps, as a row"
    )
    command.add_argument(
        "--map-names", type=Path, metavar="CSV", help="with columns map and image, where --maps have names of their own"
    )
    command.add_argument(
        "--workdir", type=_named, action="append", default=[], metavar="NAME=DIR", help="a run, as a row"
    )
    command.add_argument(
        "--output", type=Path, default=Path("comparison"), metavar="DIR", help="for maps and masks (comparison)"
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="write the table to this file")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Do what the flags say.

    Raises:
      UsageError: flags that do not belong together, or a value that makes no sense.
      UserError: a dataset, map or run cannot be had, or a method lacks what it needs.
    """
    _check(arguments)
    # Imported late: a mistyped flag is answered at once.
    from dms_jax.comparison.registry import choose
    from dms_jax.comparison.report import comparison_json, comparison_text
    from dms_jax.comparison.rows import make_row, measured, read_names, score_folder
    from dms_jax.data.prepare import prepare
    from dms_jax.evaluation.result_files import write_results

    methods = choose(arguments.methods) if arguments.methods is not None else []
    _refuse_doubled([*(method.name for method in methods), *(name for name, _ in arguments.maps + arguments.workdir)])
    if methods:
        _refuse_overwriting(arguments, [_MASKS, *(method.name for method in methods)])
    for method in methods:
        method.check()
    names = read_names(arguments.map_names) if arguments.map_names else None
    dataset = prepare(
        arguments.dataset,
        split=arguments.split,
        data_dir=arguments.data_dir,
        manual_dir=arguments.manual_dir,
        skip_bad=arguments.skip_bad,
        mask_values=arguments.mask_values,
        value_range=arguments.value_range,
    )
    for sentence in dataset.skipped:
        print(f"dms-jax: skipped: {sentence}", file=sys.stderr)
    source = dataset.source("test")
    if unmasked := len(source) - len(measured(source)):
        which = "has no mask, and is" if unmasked == 1 else "have no mask, and are"
        told = f"{unmasked} of the {len(source)} test images {which} left out of the comparison."
        print(f"dms-jax: {told}", file=sys.stderr)
    # What may be refused comes before what takes long.
    of_folders = [score_folder(name, folder, dataset, source, names=names) for name, folder in arguments.maps]
    of_runs = [_run_row(name, workdir, arguments) for name, workdir in arguments.workdir]
    rows: list[Row] = []
    if methods:
        _write_masks(source, arguments.output / _MASKS)
    for method in methods:
        rows.append(make_row(method, dataset, source, arguments.output / method.name))
        print(f"dms-jax: {method.name}: {rows[-1].seconds:.1f} s", file=sys.stderr)
    if methods:
        written = [_MASKS, *(method.name for method in methods)]
        _tell_of_earlier_maps(source, [arguments.output / inner for inner in written])
    rows += of_folders + of_runs
    masked = sum(source.has_masks())
    for row in rows:
        if row.metrics["images"] != masked or not _same_masks(row, rows[0]):
            print(f"dms-jax: {row.name} was not measured on these test images: do not compare it.", file=sys.stderr)
    paper_split = (dataset.name, dataset.config) == ("mtdd", "paper")
    print(comparison_text(rows, paper_split=paper_split))
    if methods:
        print(f"Maps: {arguments.output}")
    if arguments.json:
        facts = {"dataset": dataset.name, "dataset_config": dataset.config, "split": "test", "images": len(source)}
        write_results({**facts, "rows": comparison_json(rows, paper_split=paper_split)}, arguments.json)


def _named(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=DIR, such as DSS=maps/DSS")
    return name, Path(path)


def _check(arguments: argparse.Namespace) -> None:
    if arguments.methods is None and not arguments.maps and not arguments.workdir:
        raise UsageError("There is nothing to compare: give --methods all, --maps NAME=DIR or --workdir NAME=DIR.")
    if arguments.map_names and not arguments.maps:
        raise UsageError("--map-names says which image a map is of: give --maps too.")
    if arguments.json is not None:
        check_output_file(arguments.json)
    if arguments.output.exists() and not arguments.output.is_dir():
        raise UsageError(f"--output={arguments.output} is a file: name a folder.")


def _refuse_doubled(names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            raise UsageError(f"Two rows are called {name}: give one of them another name.")
        seen.add(name.lower())


def _refuse_overwriting(arguments: argparse.Namespace, written: list[str]) -> None:
    """Refuse to write among files of the user's.

    Raises:
      UsageError: a folder of maps or the images are where something would be written.
    """
    output = arguments.output.resolve()
    for name, folder in arguments.maps:
        read = folder.resolve()
        for target in (output / inner for inner in written):
            if target.is_relative_to(read) or read.is_relative_to(target):
                raise UsageError(
                    f"--maps {name}={folder} is where --output={arguments.output} has maps written: name another "
                    "--output."
                )
    if not arguments.manual_dir:
        return
    manual = Path(arguments.manual_dir).expanduser().resolve()
    # A CSV names images and masks beside it.
    images = manual if manual.is_dir() else manual.parent
    # All that lies in a folder of images is taken for images or masks.
    inside = arguments.dataset == "folder" and manual.is_dir() and output.is_relative_to(images)
    if output == images or inside or any(images.is_relative_to(output / inner) for inner in written):
        raise UsageError(
            f"--output={arguments.output} is among the images of --manual-dir={arguments.manual_dir}: name a folder "
            "outside of it."
        )


def _write_masks(source: ExampleSource, folder: Path) -> None:
    """Write the masks too, for `dms-jax evaluate --maps`, to which what is ignored is sound."""
    from dms_jax.comparison.rows import map_names, write_map
    from dms_jax.evaluation.scoring import blacken_ignored

    for index, (name, known) in enumerate(zip(map_names(source), source.has_masks(), strict=True)):
        if known:
            mask = source.mask(index)[..., 0]
            write_map(blacken_ignored((), mask)[1] if source.ignores else mask, folder / f"{name}.png")


def _tell_of_earlier_maps(source: ExampleSource, folders: list[Path]) -> None:
    """Say where maps or masks of other images lie among those that were written, as of another split."""
    from dms_jax.comparison.rows import map_names, measured

    names_of = map_names(source)
    own = {f"{names_of[index]}.png" for index in measured(source)}
    for folder in folders:
        names = (path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
        others = sorted(name for name in names if name not in own)
        if others:
            print(
                f"dms-jax: {folder} has images of an earlier comparison too ({some_names(others, _NAMED)}), which "
                "dms-jax evaluate --maps would count: name another --output, or remove them.",
                file=sys.stderr,
            )
            return


def _run_row(name: str, workdir: Path, arguments: argparse.Namespace) -> Row:
    from dms_jax.comparison.rows import Row
    from dms_jax.runs.testing import evaluate_run

    tested = evaluate_run(workdir, data_dir=arguments.data_dir or None, manual_dir=arguments.manual_dir or None)
    for note in tested.notes:
        print(f"dms-jax: {name}: {note}", file=sys.stderr)
    return Row(name, tested.results)


def _same_masks(row: Row, other: Row) -> bool:
    """Whether two rows are of the same masks, as far as their mean tells."""
    # None where no mask is known.
    means = [each.metrics["all_black"]["mae"] or 0.0 for each in (row, other)]
    return abs(means[0] - means[1]) < 1e-9
