"""What becomes of files that can't be used: all are named at once, or they are left out."""

from collections import Counter
from collections.abc import Iterable, Sequence

from dms_jax.errors import UserError

# So many files that can't be used are named in an error; the others are counted.
NAMED = 20
_SKIP = "--skip-bad (of dms-jax prepare) or config.data.skip_bad"


class SkippedFiles(list[str]):
    """Sentences about the files that are left out of a dataset, and what becomes of the masks of each class.

    Attributes:
      masks_kept: of each class, how many images with a mask in a file are in the dataset.
      masks_lost: of each class, how many are left out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.masks_kept: Counter[str] = Counter()
        self.masks_lost: Counter[str] = Counter()

    def refuse_without_masks(self, labels: Iterable[str]) -> None:
        """Refuses classes that have lost all of their masks: a network would learn that they show no defects.

        Args:
          labels: the classes.

        Raises:
          UserError: there is one, and files were left out.
        """
        for label in sorted(labels if self else ()):
            raise UserError(
                f"Class {label} would lose all of its masks to skip_bad, which is for single files: correct them (the "
                f"first file: {self[0].removesuffix('.')})."
            )


class BadFilesError(UserError):
    """Files can't be used, and are not to be left out.

    Attributes:
      sentences: one about each file.
    """

    def __init__(self, sentences: Sequence[str]) -> None:
        self.sentences = tuple(sentences)
        super().__init__(refusal(self.sentences))


def skip_or_raise(sentences: str | Sequence[str], skipped: list[str] | None) -> None:
    """Adds sentences about files that can't be used to those about skipped files.

    Args:
      sentences: one, or several; none does nothing.
      skipped: where to add them; None where files are not to be skipped.

    Raises:
      BadFilesError: `skipped` is None: the first 20 sentences, a line each, and the number of the others.
    """
    sentences = [sentences] if isinstance(sentences, str) else sentences
    if sentences and skipped is None:
        raise BadFilesError(sentences)
    if skipped is not None:
        skipped.extend(sentences)


def refusal(sentences: Sequence[str]) -> str:
    """What is said of files that can't be used: a sentence about the only one, or a line for each of the first 20.

    What to do, after a sentence's last colon, is not said again of the files behind it that it holds for too.

    Args:
      sentences: one about each file, at least one.
    """
    if len(sentences) == 1:
        return f"{sentences[0].removesuffix('.')}, or leave such files out with {_SKIP}."
    more = len(sentences) - NAMED
    return "\n".join(
        [
            f"{len(sentences)} files cannot be used: correct them, or leave such files out with {_SKIP}.",
            *_with_each_fix_once(sentences[:NAMED]),
            *([f"{more} more cannot be used either."] if more > 0 else []),
        ]
    )


def _with_each_fix_once(sentences: Sequence[str]) -> list[str]:
    lines, before = [], ""
    for sentence in sentences:
        fault, _, fix = sentence.rpartition(": ")
        lines.append(f"{fault}." if fault and fix == before else sentence)
        before = fix
    return lines
