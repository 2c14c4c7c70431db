import numpy as np
import pytest
from PIL import Image

from dms_jax.data.datasets.same_surface import join_groups

WIDTH, HEIGHT = 300, 240


def surface(seed):
    """Marks on a ground surface: noise of some pixels' size, and stripes from top to bottom; larger than an image."""
    random = np.random.default_rng(seed)
    noise = Image.fromarray(random.normal(0, 1, (56, 68)).astype(np.float32))
    return np.asarray(noise.resize((WIDTH + 40, HEIGHT + 40), Image.Resampling.BICUBIC))


def photograph(marks, exposure=90.0, shift=(20, 20), degrees=0.0, light=1.0, stripes_of=0):
    """An image of a surface: the brighter to one side, with the same stripes as any other, and a camera's noise."""
    image = Image.fromarray(marks).rotate(degrees, Image.Resampling.BILINEAR)
    y, x = shift
    part = np.asarray(image)[y : y + HEIGHT, x : x + WIDTH]
    stripes = np.random.default_rng(stripes_of).normal(0, 0.3, WIDTH)
    slope = np.linspace(1, light, WIDTH)
    noise = np.random.default_rng(int(exposure)).normal(0, 2, part.shape)
    grey = exposure * slope * np.exp(0.08 * part + stripes) + noise
    return Image.fromarray(grey.clip(0, 255).astype(np.uint8))


def joined(*images):
    return join_groups(images, [f"g{i}" for i in range(len(images))])


@pytest.mark.parametrize(
    "options",
    [
        {"exposure": 30.0},
        {"light": 0.3},
        {"shift": (32, 9)},
        {"degrees": 2.5},
        {"degrees": 180.0},
        {"degrees": 178.5, "exposure": 40.0},
        {"stripes_of": 5},
    ],
)
def test_surface_is_known_again(options):
    again = photograph(surface(1), **options)
    assert joined(photograph(surface(1)), again) == ["g0", "g0"]
    assert joined(again, photograph(surface(1))) == ["g0", "g0"]


def test_stripes_and_light_alone_are_no_likeness():
    assert joined(*(photograph(surface(seed)) for seed in range(4))) == ["g0", "g1", "g2", "g3"]


def test_mirrored_surface_is_another():
    assert joined(photograph(surface(1)), photograph(surface(1)[:, ::-1])) == ["g0", "g1"]


def test_groups_are_joined_through_others_and_stay_whole():
    one, other = surface(1), surface(2)
    images = [
        photograph(one),
        photograph(other),
        photograph(one, 40.0),
        photograph(surface(3)),
        photograph(other, 50.0),
    ]
    # The third and the fourth belong together whatever they look like, and so do the last and the first.
    assert join_groups(images, ["b", "c", "d", "d", "a"]) == ["b", "a", "b", "b", "a"]
    assert join_groups(images, ["b", "c", "a", "a", "a"]) == ["a"] * 5


def test_images_of_other_sizes_are_not_compared():
    small = photograph(surface(1)).crop((0, 0, WIDTH, HEIGHT - 70))
    assert joined(photograph(surface(1)), small) == ["g0", "g1"]


@pytest.mark.parametrize("level", [0, 1, 100, 255])
def test_flat_images_are_nobodys_twins(level):
    assert joined(*[Image.new("L", (WIDTH, HEIGHT), level)] * 2) == ["g0", "g1"]


def test_images_that_are_missing_or_too_small_to_tell_are_nobodys_twins():
    small = photograph(surface(1)).crop((0, 0, 55, 200))
    assert joined(None, photograph(surface(1)), None, small, small) == ["g0", "g1", "g2", "g3", "g4"]
    assert join_groups([None], ["g"]) == ["g"]
    assert join_groups([], []) == []
