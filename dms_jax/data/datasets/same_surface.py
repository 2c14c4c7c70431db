"""Finding images of one surface that was photographed again: under another exposure, shifted, tilted or upside down.

What tells one ground surface from another is its small marks: pores, scratches and stains. The stripes of the grinding
and the fall of the light look alike on many, so each image is reduced to what differs from its surroundings both
along its rows and along its columns. Two images are compared in two steps: all pairs on a coarse grid, shifted
against each other, and with one of them upside down; then the likeliest on a finer one, tilted too.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Pixels along the side of a cell of each grid, and how far, in cells, the surroundings of a mark reach.
_COARSE, _COARSE_REACH = 7, 2.0
_FINE, _FINE_REACH = 5, 2.5
# The marks of smaller images, in cells of the coarse grid, are too few to tell.
_LEAST_CELLS = 8
# Images of one surface are cut out alike: their sides differ by fewer pixels, and they are shifted by fewer.
_SIZE_DIFFERENCE = 60
_COARSE_SHIFT, _FINE_SHIFT = 3, 10
_TILTS = tuple(float(degrees) for degrees in np.arange(-4, 4.1, 0.5))

# The steps along rows and columns of an image as it is, and upside down.
_TURNS = (1, -1)

# On the coarse grid, surfaces that correlate more may be the same: so many of their images are then compared again.
_MAYBE = 0.15
_COMPARED_AGAIN = 2
# On the fine one, those are the same that correlate more. In MTDD, the correlation is 0.53 and more for one tile, and
# 0.19 and less for different ones, so that no rounding decides.
_LEAST_CORRELATION = 0.35

# So many images are compared with the others at a time.
_AT_ONCE = 64


def join_groups(images: Sequence[Image.Image | None], groups: Sequence[str]) -> list[str]:
    """Joins groups whose images show the same surface.

    Only images of different groups are compared: those of one are known to belong together. Groups that are joined
    to the same one are joined. It is a matter of seconds for a thousand images.

    Args:
      images: mode L; None where an image can't be read, which is nobody's twin.
      groups: the name of each image's group.

    Returns:
      For each image the name of its joined group, the first of the names in alphabetical order.
    """
    # Imported here: a tenth of a second that the start of every run would wait for.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names, group_of = np.unique(np.array(groups, object).astype(str), return_inverse=True)
    large = np.array([i for i, image in enumerate(images) if image is not None and _is_large(image)], np.int64)
    twins = []
    if len(large):
        fine = {int(i): _cells(images[i], _FINE) for i in large}
        for one, other, candidates in _candidates([images[i] for i in large], group_of[large]):
            alike = (
                _tilted_correlation(fine[int(large[i])], fine[int(large[j])][::turn, ::turn])
                for i, j, turn in candidates
            )
            if any(correlation > _LEAST_CORRELATION for correlation in alike):
                twins.append((one, other))
    rows, columns = np.array(twins, np.int64).reshape(-1, 2).T
    links = coo_array((np.ones(len(twins), bool), (rows, columns)), shape=(len(names), len(names)))
    _, joined = connected_components(links, directed=False)
    # Names are in alphabetical order, so that the first of each component is the one it is called after.
    _, first = np.unique(joined, return_index=True)
    return [str(names[first[joined[group]]]) for group in group_of]


def _is_large(image: Image.Image) -> bool:
    return min(image.size) >= _LEAST_CELLS * _COARSE


def _candidates(
    images: Sequence[Image.Image], group_of: NDArray[np.int64]
) -> Iterator[tuple[int, int, list[tuple[int, int, int]]]]:
    """Pairs of groups that may show one surface, each with the images most alike, and how the second is turned."""
    alike = _shifted_correlations(images, group_of)
    members = {group: np.flatnonzero(group_of == group) for group in np.unique(group_of).tolist()}
    for one, other in combinations(members, 2):
        of_pair = alike[:, members[one][:, None], members[other]]
        if of_pair.max() > _MAYBE:
            turns, rows, columns = np.unravel_index(np.argsort(-of_pair, axis=None)[:_COMPARED_AGAIN], of_pair.shape)
            yield (
                one,
                other,
                [
                    (int(members[one][i]), int(members[other][j]), _TURNS[turn])
                    for turn, i, j in zip(turns, rows, columns, strict=True)
                ],
            )


def _shifted_correlations(images: Sequence[Image.Image], group_of: NDArray[np.int64]) -> NDArray[np.float32]:
    """The largest correlation of each two images over their shifts, float32 [turns, N, N]; 0 within a group."""
    import scipy.fft

    marks = [_marks(_cells(image, _COARSE), _COARSE_REACH) for image in images]
    sizes = np.array([image.size for image in images])
    close = (np.abs(sizes[:, None] - sizes) <= _SIZE_DIFFERENCE).all(axis=-1) & (group_of[:, None] != group_of)
    shifts = np.arange(-_COARSE_SHIFT, _COARSE_SHIFT + 1)
    alike = np.zeros((len(_TURNS), len(images), len(images)), np.float32)
    # By width, so that the frame in which some are compared with others is hardly larger than they are.
    order = np.argsort(sizes[:, 0], kind="stable")
    for start in range(0, len(order), _AT_ONCE):
        part = order[start : start + _AT_ONCE]
        near = order[start:][sizes[order[start:], 0] <= sizes[part[-1], 0] + _SIZE_DIFFERENCE]
        # Beyond an image there is nothing, so that no shift brings its end to the beginning of the other one.
        frame = [
            scipy.fft.next_fast_len(max(marks[i].shape[axis] for i in near) + _COARSE_SHIFT, True) for axis in (0, 1)
        ]
        spectra = [np.stack([scipy.fft.rfft2(marks[i][::turn, ::turn], frame) for i in near]) for turn in _TURNS]
        for position, i in enumerate(part):
            later = np.flatnonzero(close[i, near[position:]]) + position
            for turn, of_turn in enumerate(spectra):
                products = scipy.fft.irfft2(spectra[0][position].conj() * of_turn[later], frame, workers=-1)
                alike[turn, i, near[later]] = products[:, shifts][:, :, shifts].max(axis=(1, 2))
    return np.maximum(alike, alike.transpose(0, 2, 1))


def _tilted_correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """The largest correlation of two images' cells over shifts and tilts."""
    import scipy.fft

    tilted = [_marks(_tilted(other, degrees), _FINE_REACH) for degrees in _TILTS]
    shape = [
        scipy.fft.next_fast_len(max(pair) + _FINE_SHIFT, True) for pair in zip(one.shape, other.shape, strict=True)
    ]
    spectrum = scipy.fft.rfft2(_marks(one, _FINE_REACH), shape).conj()
    products = scipy.fft.irfft2(spectrum * scipy.fft.rfft2(np.stack(tilted), shape), shape, workers=-1)
    shifts = np.arange(-_FINE_SHIFT, _FINE_SHIFT + 1)
    return float(products[:, shifts][:, :, shifts].max())


def _cells(image: Image.Image, side: int) -> NDArray[np.float32]:
    """The logarithms of an image's greys, averaged over squares of so many pixels: exposures differ by a factor."""
    size = tuple(max(1, round(length / side)) for length in image.size)
    # Not of 0, nor so that the noise of dark pixels counts like marks.
    return np.log(np.asarray(image.resize(size, Image.Resampling.BOX), np.float32) + 8)


def _tilted(cells: NDArray[np.float32], degrees: float) -> NDArray[np.float32]:
    from scipy.ndimage import affine_transform

    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[cosine, -sine], [sine, cosine]])
    centre = (np.array(cells.shape) - 1) / 2
    return affine_transform(cells, turn, centre - turn @ centre, order=1, mode="nearest")


def _marks(cells: NDArray[np.float32], reach: float) -> NDArray[np.float32]:
    """What is small, in both directions, and as strong everywhere; of norm 1, or 0 where there is nothing."""
    from scipy.ndimage import gaussian_filter, gaussian_filter1d

    marks = cells
    for axis in (0, 1):
        marks = marks - gaussian_filter1d(marks, reach, axis=axis)
    spread = np.sqrt(gaussian_filter(marks * marks, 2 * reach) + 1e-5)
    marks = np.clip(marks / spread, -3, 3)
    norm = float(np.linalg.norm(marks))
    # Rounding leaves a flat image some marks.
    return marks / norm if norm > 0.1 * np.sqrt(marks.size) else np.zeros_like(marks)
