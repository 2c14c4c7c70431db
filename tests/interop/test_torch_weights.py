"""The import of a backbone is strict in both directions, and names what does not fit."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed")

from torch_backbones import random_network

from dms_jax.errors import UserError
from dms_jax.interop.torch_names import BACKBONE_FORMATS, backbone_rows, network_rows
from dms_jax.interop.torch_weights import import_backbone, to_tensors, to_variables
from dms_jax.models import BDMS, SDMS
from dms_jax.models.dms import ABLATIONS
from dms_jax.models.resnext import ResNeXt

FIELDS = {"stage_sizes": (2, 1, 1, 1), "groups": 32, "width_per_group": 4, "base_channels": 64}
# One tensor each, by both names.
NAMES = {
    "torchvision": {"norm": "layer2.0.bn2.running_var", "grouped": "layer3.0.conv2.weight", "fc": "fc.weight"},
    "lua": {"norm": "5.0.0.0.0.4.running_var", "grouped": "6.0.0.0.0.3.weight", "fc": "10.1.weight"},
}
OURS = {"norm": "batch_stats/stage2_block1/norm2/var", "grouped": "params/stage3_block1/conv2/kernel"}
every_origin = pytest.mark.parametrize("origin", NAMES)


@pytest.fixture(scope="module")
def networks() -> dict[str, dict[str, np.ndarray]]:
    return {
        origin: {
            name: value.numpy() for name, value in random_network(origin, (2, 1, 1, 1), 32, 4).state_dict().items()
        }
        for origin in NAMES
    }


@pytest.fixture
def tensors(origin: str, networks: dict[str, Any]) -> dict[str, np.ndarray]:
    return dict(networks[origin])


def refusal(tensors: dict[str, np.ndarray]) -> str:
    with pytest.raises(UserError) as caught:
        import_backbone(tensors)
    return str(caught.value)


@every_origin
def test_every_leaf_is_filled_and_every_tensor_used_or_left_alone(origin: str, tensors: Any) -> None:
    found = import_backbone(tensors)
    assert (found.form, found.architecture) == (origin, FIELDS)
    shapes = jax.eval_shape(lambda: ResNeXt(**FIELDS).init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)), train=False))
    assert jax.tree.map(np.shape, found.variables) == jax.tree.map(np.shape, dict(shapes))
    assert {leaf.dtype for leaf in jax.tree.leaves(found.variables)} == {np.dtype(np.float32)}
    classifier = NAMES[origin]["fc"].removesuffix(".weight")
    left = {name for name in tensors if name.endswith("num_batches_tracked")}
    assert set(found.left_alone) == left | {f"{classifier}.weight", f"{classifier}.bias"}
    # Nothing went to two places, or to none.
    sums = sorted(
        float(np.sum(tensor, dtype=np.float64)) for name, tensor in tensors.items() if name not in found.left_alone
    )
    ours = sorted(float(np.sum(leaf, dtype=np.float64)) for leaf in jax.tree.leaves(found.variables))
    np.testing.assert_allclose(ours, sums, atol=1e-9)


@every_origin
def test_old_files_without_counters_or_classifier(origin: str, tensors: Any) -> None:
    classifier = NAMES[origin]["fc"].removesuffix("weight")
    old = {k: v for k, v in tensors.items() if not k.endswith("num_batches_tracked") and not k.startswith(classifier)}
    assert import_backbone(old).left_alone == ()


@every_origin
@pytest.mark.parametrize(("first", "second"), [("module.encoder_k", "module.encoder_q"), ("", "ema")])
def test_of_two_backbones_one_must_be_chosen(origin: str, first: str, second: str, tensors: Any) -> None:
    both = {}
    for factor, prefix in ((1, first), (2, second)):
        start = prefix and prefix + "."
        both |= {start + name: tensor * np.asarray(factor, tensor.dtype) for name, tensor in tensors.items()}
    named = f"{first or 'no prefix'} and {second}"
    with pytest.raises(UserError, match=rf"has 2 backbones, under {named}: say which one with --prefix, such as --pre"):
        import_backbone(both)
    with pytest.raises(UserError, match=rf"no backbone under 'head', but under {named}: name one"):
        import_backbone(both, "head")
    for prefix in (second, second + "."):
        found = import_backbone(both, prefix)
        plain = import_backbone(
            {n.removeprefix(f"{second}."): t for n, t in both.items() if n.startswith(f"{second}.")}
        )
        jax.tree.map(np.testing.assert_array_equal, found.variables, plain.variables)


@every_origin
@pytest.mark.parametrize("prefix", ["module.", "backbone.", "net.0."])
def test_names_under_a_prefix(origin: str, prefix: str, tensors: Any) -> None:
    under = {prefix + name: tensor for name, tensor in tensors.items()} | {"head.weight": np.zeros(2, np.float32)}
    found, plain = import_backbone(under), import_backbone(tensors)
    jax.tree.map(np.testing.assert_array_equal, found.variables, plain.variables)
    assert set(found.left_alone) == {prefix + name for name in plain.left_alone} | {"head.weight"}


@every_origin
@pytest.mark.parametrize("place", ["norm", "grouped"])
def test_a_missing_tensor_is_named_on_both_sides(origin: str, place: str, tensors: Any) -> None:
    name = NAMES[origin][place]
    del tensors[name]
    assert refusal(tensors).startswith(f"{name} is missing in the file, which {OURS[place]} needs: ")


@every_origin
def test_a_missing_stage_is_named(origin: str, tensors: Any) -> None:
    last = BACKBONE_FORMATS[origin].stages[3]
    message = refusal({k: v for k, v in tensors.items() if not k.startswith(f"{last}.")})
    assert f"{last}.0." in message
    assert "is missing in the file" in message


@every_origin
@pytest.mark.parametrize("name", ["{stage}.0.se.fc1.weight", "{stage}.7.conv1.weight", "extra", "fcn.weight"])
def test_a_surplus_tensor_is_named(origin: str, name: str, tensors: Any) -> None:
    name = name.format(stage=BACKBONE_FORMATS[origin].stages[1])
    tensors[name] = np.zeros(3, np.float32)
    assert refusal(tensors).startswith(f"{name} of the file has no place in a ResNet or ResNeXt")


@every_origin
def test_another_shape_is_named_on_both_sides(origin: str, tensors: Any) -> None:
    tensors[NAMES[origin]["grouped"]] = np.zeros((512, 8, 3, 3), np.float32)
    expected = f"{NAMES[origin]['grouped']} of the file is [512, 8, 3, 3], but {OURS['grouped']} takes [512, 16, 3, 3]"
    assert refusal(tensors).startswith(expected)


def test_a_stem_for_grey_images_is_named_on_both_sides(networks: Any) -> None:
    tensors = networks["torchvision"] | {"conv1.weight": np.zeros((64, 1, 7, 7), np.float32)}
    assert "conv1.weight of the file is [64, 1, 7, 7], but params/stem_conv/kernel takes [64, 3, 7, 7]" in refusal(
        tensors
    )


@pytest.mark.parametrize("dtype", [np.int64, np.complex64])
def test_what_is_not_floating_point_is_named(dtype: Any, networks: Any) -> None:
    tensors = networks["torchvision"] | {"bn1.bias": np.zeros(64, dtype)}
    assert refusal(tensors).startswith(f"bn1.bias of the file is {np.dtype(dtype)}, but params/stem_norm/bias takes ")


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("conv1.weight", (64,)),
        ("conv1.weight", (0, 3, 7, 7)),
        ("conv1.weight", (48, 3, 7, 7)),
        ("layer1.0.conv2.weight", (3, 128, 3, 3)),
        ("layer1.0.conv2.weight", (128, 300, 3, 3)),
    ],
)
def test_shapes_that_no_resnext_has(name: str, shape: tuple[int, ...], networks: Any) -> None:
    message = refusal(networks["torchvision"] | {name: np.zeros(shape, np.float32)})
    assert name in message
    assert str(list(shape)) in message


def test_other_networks_are_refused(networks: Any) -> None:
    assert "no backbone with names of torchvision or timm or converted from Lua Torch" in refusal(
        {"features.0.weight": np.zeros((64, 3, 3, 3), np.float32)}
    )
    basic = {k: v for k, v in networks["torchvision"].items() if "conv3" not in k and "bn3" not in k}
    assert refusal(basic).startswith("layer1.0.conv3.weight is missing in the file")


@pytest.mark.parametrize("network", [SDMS, BDMS])
@pytest.mark.parametrize("variant", [*({"ablation": a} for a in ABLATIONS), {"feature_growth": "reduce"}])
def test_a_whole_network_goes_there_and_back(network: Any, variant: dict[str, Any]) -> None:
    narrow = {"stage_sizes": (1, 2, 1, 1), "base_channels": 8, "groups": 1, "width_per_group": 64}
    model = network(num_classes=3, side_channels=8, residual_channels=4, **narrow, **variant)
    shapes = dict(jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)), train=False)))
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda x: rng.standard_normal(x.shape, np.float32), shapes)
    rows = network_rows(model)
    tensors = to_tensors(variables, rows, batches=7)
    assert {int(value) for name, value in tensors.items() if name.endswith("num_batches_tracked")} == {7}
    again, used = to_variables(tensors, rows, shapes)
    jax.tree.map(np.testing.assert_array_equal, again, variables)
    assert used == {name for name in tensors if not name.endswith("num_batches_tracked")}


def test_a_table_that_misses_a_module_is_a_bug(networks: Any) -> None:
    variables = import_backbone(networks["torchvision"]).variables
    rows = backbone_rows(BACKBONE_FORMATS["torchvision"], FIELDS["stage_sizes"])
    with pytest.raises(ValueError, match=r"no row of the table names .*stage4_block1/downsample_norm"):
        to_tensors(variables, rows[:-1])
    with pytest.raises(ValueError, match=r"no row of the table fills .*stage4_block1/downsample_norm"):
        to_variables(networks["torchvision"], rows[:-1], variables)
