"""Images, masks and MAT files, for trials of damaged ones."""

from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin
from survival.damaged_samples import Maker, Sample

from dms_jax.data.datasets.crackforest import read_segmentation
from dms_jax.data.image_files import read_image
from dms_jax.data.mask_files import read_mask, read_pair
from dms_jax.data.mask_values import MaskValues
from dms_jax.data.png import encode_png
from dms_jax.evaluation.maps.files import read_map

_SIZE = (37, 45)
_ALLOWED = MaskValues.parse("128-255,ignore:1")


def _grey(bits: int = 8) -> np.ndarray:
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[: _SIZE[0], : _SIZE[1]]
    smooth = (rows * 3 + columns * 2) % 200 + random.integers(0, 40, _SIZE)
    return smooth.astype(np.uint8) if bits == 8 else (smooth.astype(np.uint16) * 257)


def _colours() -> np.ndarray:
    return np.stack([_grey(), _grey()[::-1], _grey()[:, ::-1]], axis=-1)


def _marks() -> np.ndarray:
    mask = np.zeros(_SIZE, np.uint8)
    mask[5:20, 8:30] = 255
    return mask


def _images(folder: Path) -> list[Sample]:
    grey, colours = Image.fromarray(_grey()), Image.fromarray(_colours())
    deep = Image.fromarray(_grey(16))
    palette = colours.quantize(16)
    exif = Image.Exif()
    exif[0x0112] = 6
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "of a camera", zip=True)
    for name, image, options in (
        ("grey.png", grey, {}),
        ("colours.png", colours, {"pnginfo": text}),
        ("deep.png", deep, {}),
        ("palette.png", palette, {"transparency": 3}),
        ("bilevel.png", grey.convert("1"), {}),
        ("alpha.png", colours.convert("RGBA"), {}),
        ("grey.jpg", grey, {}),
        ("colours.jpg", colours, {"exif": exif}),
        ("progressive.jpg", colours, {"progressive": True}),
        ("grey.bmp", grey, {}),
        ("colours.bmp", colours, {}),
        ("grey.tif", grey, {}),
        ("deep.tif", deep, {}),
        ("lzw.tif", colours, {"compression": "tiff_lzw"}),
        ("deflate.tif", deep, {"compression": "tiff_adobe_deflate"}),
        ("jpeg.tif", colours, {"compression": "jpeg"}),
        ("float.tif", Image.fromarray(_grey().astype(np.float32)), {}),
        ("colours.webp", colours, {}),
        ("lossless.webp", colours, {"lossless": True}),
        ("palette.gif", palette, {}),
        ("moving.gif", palette, {"save_all": True, "append_images": [palette.rotate(90)]}),
        ("grey.pgm", grey, {}),
        ("colours.ppm", colours, {}),
    ):
        image.save(folder / name, **options)
    (folder / "own.png").write_bytes(encode_png(grey))
    return [Sample(path, partial(_read_image, path), str(path)) for path in sorted(folder.glob("*.*"))]


def _read_image(path: Path) -> None:
    image = read_image(path, (0.0, 255.0) if path.name.startswith("float") else None)
    assert image.mode == "RGB"
    assert np.asarray(image).shape == (image.height, image.width, 3)


def _masks(folder: Path) -> list[Sample]:
    mask = Image.fromarray(_marks())
    image = folder.parent / "image.png"
    Image.fromarray(_colours()).save(image)
    coloured = mask.convert("P")
    coloured.putpalette([0, 0, 0, *[200, 0, 0] * 255])
    for name, stored, options in (
        ("mask.png", mask, {}),
        ("bilevel.png", mask.convert("1"), {}),
        ("palette.png", coloured, {}),
        ("colours.png", mask.convert("RGB"), {}),
        ("deep.png", Image.fromarray(_marks().astype(np.uint16) * 257), {}),
        ("mask.bmp", mask, {}),
        ("mask.tif", mask, {}),
        ("deep.tif", Image.fromarray(_marks().astype(np.uint16) * 257), {}),
        ("lzw.tif", mask, {"compression": "tiff_lzw"}),
        ("deflate.tif", mask, {"compression": "tiff_adobe_deflate"}),
        ("mask.gif", mask, {}),
        ("mask.jpg", mask, {"quality": 95}),
    ):
        stored.save(folder / name, **options)
    (folder / "own.png").write_bytes(encode_png(mask))
    samples = [Sample(path, partial(_read_mask, path, image), str(path)) for path in sorted(folder.glob("*.*"))]
    exact = ("own.png", "mask.tif", "deep.png", "bilevel.png")
    samples += [Sample(folder / name, partial(_read_by_values, folder / name), name) for name in exact]
    samples += [Sample(folder / name, partial(read_as_map, folder / name), name) for name in ("own.png", "mask.jpg")]
    return samples


def _read_mask(path: Path, image_path: Path) -> str | None:
    image, mask = read_pair(image_path, path)
    assert (mask.mode, mask.size) == ("L", image.size)
    # Damage to where there are only zeros, or to what says nothing of the pixels, leaves it as it was.
    same = (np.asarray(mask) > 127) == (_marks() > 127)
    return None if same.all() else _another(path)


def _read_by_values(path: Path) -> str | None:
    mask = np.asarray(read_mask(path, _ALLOWED if "deep" not in path.name else MaskValues.parse("256-65535")))
    assert set(np.unique(mask)) <= {0, 1, 255}
    same = mask.shape == _SIZE and ((mask > 127) == (_marks() > 127)).all()
    return None if same else _another(path)


def read_as_map(path: Path) -> None:
    saliency_map, _ = read_map(path)
    assert saliency_map.ndim == 2
    assert saliency_map.dtype == np.uint8


def _another(path: Path) -> str:
    """Of a format with check sums, what was damaged must be refused; of others it cannot be known."""
    return "silently another mask" if path.suffix in (".png", ".mat") else "other content"


def _segmentations(folder: Path) -> list[Sample]:
    import scipy.io

    regions = np.where(_marks() > 0, 2, 1).astype(np.uint16)
    boundaries = np.zeros(_SIZE, bool)
    content = {"groundTruth": {"Segmentation": regions, "Boundaries": boundaries}}
    scipy.io.savemat(folder / "plain.mat", content)
    scipy.io.savemat(folder / "packed.mat", content, do_compression=True)
    double = {"groundTruth": {"Segmentation": regions.astype(np.float64), "Boundaries": boundaries}}
    scipy.io.savemat(folder / "double.mat", double, do_compression=True)
    return [Sample(path, partial(_read_segmentation, path), str(path)) for path in sorted(folder.glob("*.mat"))]


def _read_segmentation(path: Path) -> str | None:
    mask = np.asarray(read_segmentation(path))
    assert set(np.unique(mask)) <= {0, 255}
    same = mask.shape == _SIZE and (mask == _marks()).all()
    # Those that are not compressed have no check sum.
    return None if same else "other content" if path.name == "plain.mat" else _another(path)


KINDS: dict[str, Maker] = {"image": _images, "mask": _masks, "mat": _segmentations}
