"""Groups of images of the same thing, and splits that keep a group whole.

Two images of one tile are nearly the same image: a split that puts one into training and the other into
test measures memorisation. Everything here works on names and numbers alone, so that a split is the same for
everyone.
"""

import hashlib
from collections.abc import Iterable, Mapping


def chain_frames(frames: Iterable[int], gap: int) -> dict[int, int]:
    """Chains frame numbers into runs: a frame joins the run of its predecessor when at most `gap` after it.

    Args:
      frames: frame numbers, in any order; repeated numbers are one frame.
      gap: the largest difference between neighbours of one run.

    Returns:
      For every frame the first frame of its run.
    """
    first_of: dict[int, int] = {}
    first = previous = None
    for frame in sorted(set(frames)):
        if first is None or previous is None or frame - previous > gap:
            first = frame
        first_of[frame] = first
        previous = frame
    return first_of


def hash_split(groups_by_class: Mapping[str, Iterable[str]], share: float, salt: str) -> set[str]:
    """Chooses a share of the groups of every class by a fixed hash of their names.

    Of a class of n groups the round(share * n) (halves up) with the smallest sha256 of "salt/name" are taken:
    at least one, and never the last one, which would leave the class nothing to train on. A class of a single
    group hence gives none.

    Args:
      groups_by_class: names of the groups of each class; repeated names are one group.
      share: which share of the groups to take, 0 < share < 1.
      salt: a string that makes the choices of different splits independent of each other.

    Returns:
      The names of the chosen groups.

    Raises:
      ValueError: `share` is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise ValueError(f"share must lie between 0 and 1, not {share}.")
    chosen: set[str] = set()
    for names in groups_by_class.values():
        ranked = sorted(set(names), key=lambda name: hashlib.sha256(f"{salt}/{name}".encode()).digest())
        count = max(1, int(share * len(ranked) + 0.5))
        chosen.update(ranked[: min(count, len(ranked) - 1)])
    return chosen
