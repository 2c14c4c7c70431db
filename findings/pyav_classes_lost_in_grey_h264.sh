#!/usr/bin/env bash
# PyAV: maps of classes and defect maps of a line's images, one a frame, kept as a grey video without loss (H.264 with
# qp=0 and pix_fmt="gray", which FFmpeg's libx264 takes).
#
# One would guess: frames that are written as "gray" and read as "gray" are the same to the last bit, as with FFV1 and
# with H.265 (lossless=1); or what changes them is refused or warned of.
# Seen: with PyAV 18.1.0 and 19.0.2 the pixels are in the file as they were, but the decoder calls them yuv420p, whose
# range is 16 to 235 if nothing else is said, and "gray" has 0 to 255: reading stretches them. The classes 1 to 16 are
# all 0, sound; defect maps lose what is below 17 and above 234, and are up to 20 off between. A mask of 0 and 255 comes
# back as it was, so that a test with one finds nothing. imageio 2.38.1 (its PyAV plugin) and OpenCV 5.0.0 read the same
# wrong classes from the file, in MP4 as in Matroska. There is no error and no warning, and no issue of PyAV was found
# that says so. For new files, stream.codec_context.color_range = 2 before the first frame helps; for old ones,
# frame.reformat(format="gray", src_color_range=2).
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import sys
from pathlib import Path

import av
import cv2
import imageio.v3 as iio
import numpy as np

HEIGHT, WIDTH = 64, 256
classes = np.zeros((HEIGHT, WIDTH), np.uint8)
for label in range(1, 21):
    classes[10:50, label * 12 : label * 12 + 8] = label
FRAMES = {
    "classes": classes,
    "mask": np.where(classes > 0, 255, 0).astype(np.uint8),
    "defect map": np.tile(np.arange(WIDTH, dtype=np.uint8), (HEIGHT, 1)),
}
H265 = {"x265-params": "lossless=1:log-level=none"}
WAYS = {
    "H.264": ("libx264", {"qp": "0"}, None),
    "H.264, color_range=2": ("libx264", {"qp": "0"}, 2),
    "H.265": ("libx265", H265, None),
    "FFV1": ("ffv1", {}, None),
}


def write(path, codec, options, color_range):
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=10, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "gray"
        if color_range is not None:
            stream.codec_context.color_range = color_range
        for pixels in FRAMES.values():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="gray")))
        container.mux(stream.encode())


def by_pyav(path):
    with av.open(path) as container:
        return [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]


def by_pyav_full_range(path):
    with av.open(path) as container:
        return [f.reformat(format="gray", src_color_range=2).to_ndarray() for f in container.decode(video=0)]


def first_plane(path):
    with av.open(path) as container:
        return [np.asarray(f.to_ndarray())[:HEIGHT] for f in container.decode(video=0)]


def by_imageio(path):
    return list(iio.imread(path, plugin="pyav", format="gray"))


def by_opencv(path):
    capture, frames = cv2.VideoCapture(path), []
    while (found := capture.read())[0]:
        frames.append(found[1][..., 0])
    return frames


READERS = {
    "PyAV": by_pyav,
    "imageio": by_imageio,
    "OpenCV": by_opencv,
    "PyAV, first plane": first_plane,
    "PyAV, src_color_range=2": by_pyav_full_range,
}


def compare(path, read):
    frames = dict(zip(FRAMES, read(path), strict=True))
    if all(np.array_equal(frames[name], FRAMES[name]) for name in FRAMES):
        return "all as written"
    assert np.array_equal(frames["mask"], FRAMES["mask"])
    sound = [label for label in range(1, 21) if not frames["classes"][classes == label].any()]
    off = np.abs(frames["defect map"].astype(int) - FRAMES["defect map"]).max()
    return f"mask as written, classes {sound[0]} to {sound[-1]} are 0, defect map off by up to {off}"


for way, settings in WAYS.items():
    found = {reader: [] for reader in READERS}
    for ending in "mkv", "mp4":
        path = str(Path(sys.argv[1], f"video.{ending}"))
        write(path, *settings)
        for reader, read in READERS.items():
            found[reader].append(compare(path, read))
    for reader, (matroska, mp4) in found.items():
        assert matroska == mp4
        print(f"{way}, read by {reader}: {mp4}")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    av==18.1.0 imageio==2.38.1 opencv-python-headless==5.0.0.93 pillow==13.0.0 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" "$scratch" 2>"$scratch/log" |
    tee "$scratch/seen" || tail "$scratch/log"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
H.264, read by PyAV: mask as written, classes 1 to 16 are 0, defect map off by up to 20
H.264, read by imageio: mask as written, classes 1 to 16 are 0, defect map off by up to 20
H.264, read by OpenCV: mask as written, classes 1 to 16 are 0, defect map off by up to 20
H.264, read by PyAV, first plane: all as written
H.264, read by PyAV, src_color_range=2: all as written
H.264, color_range=2, read by PyAV: all as written
H.264, color_range=2, read by imageio: all as written
H.264, color_range=2, read by OpenCV: all as written
H.264, color_range=2, read by PyAV, first plane: all as written
H.264, color_range=2, read by PyAV, src_color_range=2: all as written
H.265, read by PyAV: all as written
H.265, read by imageio: all as written
H.265, read by OpenCV: all as written
H.265, read by PyAV, first plane: all as written
H.265, read by PyAV, src_color_range=2: all as written
FFV1, read by PyAV: all as written
FFV1, read by imageio: all as written
FFV1, read by OpenCV: all as written
FFV1, read by PyAV, first plane: all as written
FFV1, read by PyAV, src_color_range=2: all as written
SEEN
