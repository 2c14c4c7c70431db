#!/usr/bin/env bash
# Pillow: a 16-bit grey image (mode I;16) that is rotated or warped with interpolation, as augmentations do.
#
# One would guess: I;16 is interpolated as modes I, F and L are; or Pillow says that the image has the wrong mode, as
# its filters and ImageEnhance do for I;16.
# Seen: Pillow 13.0.0 returns an image of mode I;16 whose values are at most 255: rotate and transform (affine,
# perspective, quad) with BILINEAR or BICUBIC take the pixels for bytes, and make 78 of 20000 and 156 of 40000, or
# others between their low and high bytes. Stretched for display the picture seems right. NEAREST and resize (all
# filters) are right, as are modes I and F, so that an augmentation that resizes works and one that rotates gives the
# network a black image. So do RandomRotation, RandomAffine and RandomPerspective of torchvision 0.28.0 with Pillow
# images (not with tensors of uint16). Nothing warns of it; that I;16 "isn't fully supported" is said in an issue of
# 2015 (1127 of python-pillow/Pillow, closed). convert("F") before it helps.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/turn.py" <<'PROGRAM'
import numpy as np
from PIL import Image, ImageFilter

plate = np.full((120, 160), 20000, np.uint16)
plate[40:80, 50:110] = 40000
modes = {"I;16": Image.fromarray(plate), "F": Image.fromarray(plate.astype(np.float32))}
SHIFTED = (1, 0, 3.25, 0, 1, 0.5)
AFFINE, PERSPECTIVE = Image.Transform.AFFINE, Image.Transform.PERSPECTIVE
OPERATIONS = {
    "rotate by 10 degrees": lambda image, filter: image.rotate(10, filter),
    "rotate by 90 degrees": lambda image, filter: image.rotate(90, filter),
    "affine": lambda image, filter: image.transform(image.size, AFFINE, SHIFTED, filter),
    "perspective": lambda image, filter: image.transform(image.size, PERSPECTIVE, (*SHIFTED, 0, 0), filter),
    "resize": lambda image, filter: image.resize((100, 90), filter),
}

print("middle of the plate (40000), mean and largest value")
for operation, apply in OPERATIONS.items():
    for filter in Image.Resampling.NEAREST, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC:
        said = []
        for mode, image in modes.items():
            result = apply(image, filter)
            pixels = np.asarray(result)
            middle = pixels[pixels.shape[0] // 2, pixels.shape[1] // 2]
            said.append(f"{result.mode} {middle:.0f}, {pixels.mean():.0f}, {pixels.max():.0f}")
        print(f"{operation}, {filter.name}: {'; '.join(said)}")
try:
    modes["I;16"].filter(ImageFilter.GaussianBlur(2))
except ValueError as error:
    print("GaussianBlur:", error)
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" pillow==13.0.0 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/turn.py" | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
middle of the plate (40000), mean and largest value
rotate by 10 degrees, NEAREST: I;16 40000, 20958, 40000; F 40000, 20958, 40000
rotate by 10 degrees, BILINEAR: I;16 36, 57, 156; F 40000, 20958, 40000
rotate by 10 degrees, BICUBIC: I;16 33, 57, 175; F 40000, 20958, 43781
rotate by 90 degrees, NEAREST: I;16 40000, 17500, 40000; F 40000, 17500, 40000
rotate by 90 degrees, BILINEAR: I;16 78, 46, 156; F 40000, 17500, 40000
rotate by 90 degrees, BICUBIC: I;16 78, 46, 156; F 40000, 17500, 40000
affine, NEAREST: I;16 40000, 21961, 40000; F 40000, 21961, 40000
affine, BILINEAR: I;16 66, 60, 156; F 40000, 21961, 40000
affine, BICUBIC: I;16 70, 60, 179; F 40000, 21961, 45664
perspective, NEAREST: I;16 40000, 21961, 40000; F 40000, 21961, 40000
perspective, BILINEAR: I;16 66, 60, 156; F 40000, 21961, 40000
perspective, BICUBIC: I;16 70, 60, 179; F 40000, 21961, 45664
resize, NEAREST: I;16 40000, 22533, 40000; F 40000, 22533, 40000
resize, BILINEAR: I;16 40000, 22499, 40000; F 40000, 22499, 40000
resize, BICUBIC: I;16 40000, 22500, 40789; F 40000, 22500, 40790
GaussianBlur: image has wrong mode
SEEN
