import io

import numpy as np
from PIL import Image

from dms_jax.evaluation.report.pictures import make_pictures


def opened(data):
    return Image.open(io.BytesIO(data))


def test_small_images_keep_their_size_and_pixels():
    mask = np.zeros((20, 30), np.uint8)
    mask[5:10, 5:20] = 200
    mask[15:, 25:] = 127
    maps = [np.full((20, 30), value, np.uint8) for value in (10, 240)]
    image = np.full((20, 30, 3), (30, 120, 210), np.uint8)
    pictures = make_pictures(image, mask, maps, 128)
    assert [opened(data).size for data in (pictures.image, *pictures.maps)] == [(30, 20)] * 3
    assert np.abs(np.asarray(opened(pictures.image)).astype(int) - image).max() < 6
    for data, expected in zip(pictures.maps, (10, 240), strict=True):
        assert np.abs(np.asarray(opened(data).convert("L")).astype(int) - expected).max() < 6
    np.testing.assert_array_equal(np.asarray(opened(pictures.truth).convert("L")), np.where(mask > 127, 255, 0))


def test_large_ones_are_reduced_and_a_thin_crack_stays():
    mask = np.zeros((3000, 1000), np.uint8)
    mask[:, 500] = 255
    pictures = make_pictures(np.zeros((3000, 1000, 3), np.uint8), mask, [mask, mask], 127)
    sizes = [opened(data).size for data in (pictures.image, pictures.truth, pictures.outlines, *pictures.maps)]
    assert sizes == [(133, 400)] * 3 + [(67, 200), (133, 400)]
    assert (np.asarray(opened(pictures.truth).convert("L")).max(axis=1) == 255).all()


def test_outlines_run_around_truth_and_prediction():
    mask, saliency_map = np.zeros((12, 12), np.uint8), np.zeros((12, 12), np.uint8)
    mask[2:4, 2:4] = 255
    saliency_map[7:, 7:9] = 101
    drawn = np.asarray(opened(make_pictures(None, mask, [saliency_map], 100).outlines).convert("RGBA"))
    expected = np.zeros((12, 12, 4), np.uint8)
    expected[1:5, 1:5] = (255, 0, 255, 255)
    expected[2:4, 2:4] = 0
    # The prediction reaches the lower border, where the outline runs inside.
    expected[6:, 6:10] = (0, 229, 255, 255)
    expected[7:11, 7:9] = 0
    shown = drawn[..., 3:] > 0
    np.testing.assert_array_equal(np.where(shown, drawn, 0), expected)


def test_what_is_unknown_is_not_drawn():
    saliency_map = np.full((4, 4), 9, np.uint8)
    nothing = make_pictures(None, None, [saliency_map], None)
    assert (nothing.image, nothing.truth, nothing.outlines, nothing.outlined) == (None, None, None, ())
    assert make_pictures(None, None, [saliency_map], 3).outlined == ("predicted",)
    assert make_pictures(None, saliency_map, [saliency_map], None).outlined == ("truth",)
