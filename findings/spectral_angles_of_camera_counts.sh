#!/usr/bin/env bash
# Spectral Python: spectral angles and noise of a hyperspectral image as the camera wrote it, 12-bit counts in an ENVI
# file of uint16.
#
# One would guess: spectral_angles makes its endmembers float64, and so its image; it makes no difference whether the
# image comes from load(), from open_memmap(), or from a crop such as img[:60, :80].
# Seen: load() gives float32; the other two give what is in the file, and spectral 0.25 multiplies that by itself as
# it is. The sum of 100 squared counts wraps around at 65536, the length of each spectrum is far too small, and the
# cosine is clipped to 1: all angles are 0 for all endmembers, each pixel has the first class, and none of the 300
# pixels of oil on the part is found, without a warning. So it is with 10-bit counts; bytes have zeros and a warning
# about a division. noise_from_diffs subtracts counts from counts, which wrap as well: a noise of 20 counts is one of
# 22 100, and none of MNF's components has a signal-to-noise ratio above 10, where two have. calc_stats and rx
# convert, and are right from all three. Issue 132 of spectralpython/spectral (closed) is about NaN and warnings,
# which int16 gives here for half of the pixels; of unsigned counts, the noise or open_memmap no issue was found.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/classify.py" <<'PROGRAM'
import sys
import warnings

import numpy as np
import spectral
import spectral.io.envi as envi

FOLDER = sys.argv[1]
ROWS, COLUMNS, BANDS = 60, 80, 100
random = np.random.default_rng(0)
band = np.linspace(0, 1, BANDS)
ENDMEMBERS = np.stack([0.4 + 0.3 * band, 0.5 + 0.25 * np.sin(6 * band)])  # metal, oil
OILY = np.zeros((ROWS, COLUMNS), int)
OILY[20:30, 30:60] = 1
light = np.linspace(0.7, 1.1, COLUMNS)[:, None]
SCENE = ENDMEMBERS[OILY] * light + random.normal(0, 0.005, (ROWS, COLUMNS, BANDS))  # 20 of 4096 counts


def angles_by_numpy(image):
    image = image.astype(float)
    lengths = np.linalg.norm(image, axis=2)[..., None] * np.linalg.norm(ENDMEMBERS, axis=1)
    return np.arccos(np.clip(image @ ENDMEMBERS.T / lengths, -1, 1))


def tell(name, image):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RuntimeWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        angles = spectral.spectral_angles(image, ENDMEMBERS)
        noise = spectral.noise_from_diffs(image[:20])  # above the oil
        components = spectral.mnf(spectral.calc_stats(image), noise)
    error = abs(angles - angles_by_numpy(np.asarray(image))).max()
    found = (angles.argmin(axis=2) == 1) & (OILY == 1)
    print(f"{name}: {type(image).__name__} of {image.dtype}, {len(caught)} warnings")
    missing = np.isnan(angles).mean()
    print(f"    largest angle {angles.max():.3f}, wrong by up to {error:.3f}, NaN: {missing:.0%}", end="; ")
    print(f"{found.sum()} of {OILY.sum()} oily pixels found")
    deviation = np.sqrt(np.diag(noise.cov).mean())
    print(f"    noise {deviation:.3g}, {components.num_with_snr(10)} components with a ratio above 10")


for bits, kind in ((12, np.uint16), (10, np.uint16), (8, np.uint8), (12, np.int16), (12, np.int32)):
    top = 2**bits - 1
    counts = (SCENE * top).round().clip(0, top).astype(kind)
    path = f"{FOLDER}/scene.hdr"
    envi.save_image(path, counts, force=True)
    image = envi.open(path)
    if bits == 12 and kind is np.uint16:
        tell("12 bits, load()", image.load())
        tell("12 bits, open_memmap()", image.open_memmap())
        means = [spectral.calc_stats(data).mean for data in (image.load(), image.open_memmap())]
        scores = [spectral.rx(data) for data in (image.load(), image.open_memmap())]
        print("mean and rx the same:", np.allclose(*means), np.allclose(*scores, rtol=1e-3))
    tell(f"{bits} bits, a crop", image[:ROWS, :COLUMNS])
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" spectral==0.25 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/classify.py" "$scratch" | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
12 bits, load(): ImageArray of float32, 0 warnings
    largest angle 0.485, wrong by up to 0.000, NaN: 0%; 300 of 300 oily pixels found
    noise 20.5, 2 components with a ratio above 10
12 bits, open_memmap(): memmap of uint16, 0 warnings
    largest angle 0.000, wrong by up to 0.485, NaN: 0%; 0 of 300 oily pixels found
    noise 2.21e+04, 0 components with a ratio above 10
mean and rx the same: True True
12 bits, a crop: ndarray of uint16, 0 warnings
    largest angle 0.000, wrong by up to 0.485, NaN: 0%; 0 of 300 oily pixels found
    noise 2.21e+04, 0 components with a ratio above 10
10 bits, a crop: ndarray of uint16, 0 warnings
    largest angle 0.000, wrong by up to 0.485, NaN: 0%; 0 of 300 oily pixels found
    noise 2.24e+04, 0 components with a ratio above 10
8 bits, a crop: ndarray of uint8, 1 warnings
    largest angle 0.000, wrong by up to 0.485, NaN: 0%; 0 of 300 oily pixels found
    noise 89, 0 components with a ratio above 10
12 bits, a crop: ndarray of int16, 1 warnings
    largest angle nan, wrong by up to nan, NaN: 51%; 0 of 300 oily pixels found
    noise 20.5, 2 components with a ratio above 10
12 bits, a crop: ndarray of int32, 0 warnings
    largest angle 0.485, wrong by up to 0.000, NaN: 0%; 300 of 300 oily pixels found
    noise 20.5, 2 components with a ratio above 10
SEEN
