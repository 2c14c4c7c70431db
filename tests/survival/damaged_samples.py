"""What a trial of damaged files needs of each kind of file: whole ones, and how a user's file of that kind is read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from survival.mutation import Random, mutate, mutate_json


@dataclass(frozen=True)
class Sample:
    """A whole file, and the way by which such files are read.

    Attributes:
      path: the file, which is damaged in its place.
      read: reads it, as the program does. Returns what was noticed, such as `another mask`; nothing where all is well.
        Raises UserError.
      named: what an error must name: the file, or the folder or entry that the user knows it by.
      structured: it is of JSON, and half of the damage leaves it that.
    """

    path: Path
    read: Callable[[], str | None]
    named: str
    structured: bool = False

    def damage(self, whole: bytes, random: Random) -> tuple[bytes, str]:
        """Damaged contents, and how they were damaged."""
        if self.structured and random.integers(2):
            return mutate_json(whole, random)
        return mutate(whole, random)


# Makes the files of one kind in an empty folder.
Maker = Callable[[Path], list[Sample]]
