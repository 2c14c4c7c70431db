"""From a `DMS` network to an ONNX graph of the same, its BatchNorm folded."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import onnx

from dms_jax.inference.exported.graph import BYTE, FLOAT, GraphWriter, Map
from dms_jax.inference.exported.metadata import Outputs
from dms_jax.models.dms import DMS
from dms_jax.models.network import Variables
from dms_jax.models.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from dms_jax.ops.batch_norm import Activation
from dms_jax.ops.cpu_convolution import merged_groups, widened

# Runtimes for CPUs work on 16 channels at once; the zeros that fill a group up to that cost less.
_CHANNELS_OF_A_GROUP = 16
Params = Mapping[str, Any]


def network_graph(model: DMS, variables: Variables, outputs: Outputs = "final") -> onnx.GraphProto:
    """Write a network as a graph.

    Args:
      model: without a backbone of the user's own.
      variables: {"params", "batch_stats"} of it.
      outputs: which saliency maps and classes the graph gives.

    Returns:
      A graph from `images`, uint8 [B, H, W, 3], to `saliency`, float32 [B, N, H, W] in 0..1, and, where the network has
      class heads, `probabilities`, float32 [B, N, num_classes]. B, H and W are free.
    """
    predictor, fold = model.clone(dtype=np.float32).for_prediction()
    params = jax.device_get(fold(variables))["params"]
    return _NetworkWriter(predictor, params).write(outputs)


class _NetworkWriter:
    """Mirrors the modules of `dms_jax.models`, one method each; see there for what they compute."""

    def __init__(self, model: DMS, params: Params) -> None:
        self._model = model
        self._params = params
        self._to = GraphWriter()
        self._pixels = Map("pixels", 3, 1)

    def write(self, outputs: Outputs) -> onnx.GraphProto:
        model, to = self._model, self._to
        backbone = self._backbone()
        sides = self._sides(backbone)
        steps = [entry.removeprefix("reset ") for entry in model.schedule]
        saliency: list[Map] = []
        feature: Map | None = None
        maps, logits = [], []
        for i, entry in enumerate(model.schedule):
            is_answer = outputs == "all" or i + 1 == len(steps)
            following = sides[steps[i + 1]] if i + 1 < len(steps) else None
            feature = self._feature(i, feature, sides[steps[i]], following, reset=entry.startswith("reset "))
            saliency.append(self._saliency(i, feature, saliency[-1] if saliency else None))
            if is_answer:
                maps.append(to.resize(saliency[-1], self._pixels, f"step{i}/map"))
                if model.has_class_heads:
                    logits.append(self._classes(i, feature, saliency[-1]))
        to.add("Sigmoid", [to.concatenate(maps, "maps").name], "saliency")
        results: dict[str, Any] = {"saliency": (FLOAT, ["B", len(maps), "H", "W"])}
        if logits:
            together = to.add("Concat", logits, "logits", axis=1) if len(logits) > 1 else logits[0]
            to.add("Softmax", [together], "probabilities", axis=2)
            results["probabilities"] = (FLOAT, ["B", len(logits), model.num_classes])
        text = "Saliency maps in 0..1 and class probabilities of RGB images in 0..255."
        return to.graph("dms_jax", {"images": (BYTE, ["B", "H", "W", 3])}, results, text)

    def _backbone(self) -> list[Map]:
        model, to, params = self._model, self._to, self._params["backbone"]
        as_float = to.add("Cast", ["images"], "floats", to=FLOAT)
        channels_first = to.add("Transpose", [as_float], "planes", perm=[0, 3, 1, 2])
        mean = to.constant("mean", 255 * np.array(IMAGENET_MEAN, np.float32).reshape(1, 3, 1, 1))
        to.add("Sub", [channels_first, mean], self._pixels.name)
        # The division by the standard deviation is in the first convolution; its padding is the mean colour still.
        stem = params["stem_conv"]
        kernel = stem["kernel"] / (255 * np.array(IMAGENET_STD, np.float32).reshape(1, 1, 3, 1))
        x = to.conv(self._pixels, kernel, stem["bias"], "backbone/stem_conv", stride=2)
        x = to.max_pool(to.activate(x, "relu", "backbone/stem"), "backbone/pool")
        maps = [x]
        for stage, blocks in enumerate(model.stage_sizes, 1):
            for block in range(1, blocks + 1):
                name = f"stage{stage}_block{block}"
                stride = 2 if stage > 1 and block == 1 else 1
                x = self._bottleneck(x, params[name], f"backbone/{name}", stride)
            maps.append(x)
        return maps

    def _bottleneck(self, x: Map, params: Params, name: str, stride: int) -> Map:
        y = self._conv(x, params["conv1"], f"{name}/conv1", "relu")
        y = self._conv(y, params["conv2"], f"{name}/conv2", "relu", stride=stride, groups=self._model.groups)
        y = self._conv(y, params["conv3"], f"{name}/conv3")
        if "downsample_conv" in params:
            x = self._conv(x, params["downsample_conv"], f"{name}/downsample_conv", stride=stride)
        return self._to.activate(self._to.add_maps(y, x, f"{name}/sum"), "relu", name)

    def _sides(self, backbone: list[Map]) -> dict[str, Map]:
        l0, l1, l2, l3, l4 = backbone
        return {
            "LF": self._side("side_lf", l0, l1),
            "MF": self._side("side_mf", l2),
            "HF": self._side("side_hf", l3, l4),
        }

    def _side(self, name: str, x: Map, coarser: Map | None = None) -> Map:
        to, params = self._to, self._params[name]
        if coarser is not None:
            x = to.concatenate([x, to.resize(coarser, x, f"{name}/coarser")], f"{name}/joined")
        x = self._block(x, params["block1"], f"{name}/block1")
        x = self._block(x, params["block2"], f"{name}/block2")
        if "aspp" in params:
            return self._aspp(x, params["aspp"], f"{name}/aspp")
        return self._block(x, params["block3"], f"{name}/block3")

    def _aspp(self, x: Map, params: Params, name: str) -> Map:
        to = self._to
        branches = [self._block(x, params["point"], f"{name}/point")]
        for rate in (2, 4, 6):
            branches.append(self._block(x, params[f"dilated{rate}"], f"{name}/dilated{rate}", dilation=rate))
        together = to.concatenate(branches, f"{name}/joined")
        pooled = self._block(to.mean(x, f"{name}/mean"), params["pooled"], f"{name}/pooled")
        # The pooled branch is the same everywhere, and so is what the 1 x 1 convolution makes of it.
        fuse = params["fuse"]
        local, whole = np.split(fuse["conv"]["kernel"], [together.channels], axis=2)
        y = to.conv(together, local, fuse["conv"]["bias"], f"{name}/fuse/conv")
        z = to.conv(pooled, whole, None, f"{name}/fuse/pooled")
        return self._prelu(to.add_maps(y, z, f"{name}/fuse/sum"), fuse, f"{name}/fuse")

    def _feature(self, i: int, before: Map | None, side: Map, following: Map | None, *, reset: bool) -> Map:
        """F of step i: `RefinementStep`'s join and transition."""
        x = self._join(i, before, side, reset)
        params = self._params[f"step{i}"]
        if "transition" not in params:
            return x
        block, name = params["transition"], f"step{i}/transition"
        kernel, bias = block["conv"]["kernel"], block["conv"]["bias"]
        if kernel.shape[0] == 4:
            assert following is not None  # it enlarges to that
            return self._to.transposed_conv(x, kernel, bias, following, _slope(block), name)
        return self._block(x, block, name)

    def _join(self, i: int, before: Map | None, side: Map, reset: bool) -> Map:
        to = self._to
        if before is None:
            return side
        larger = min(before, side, key=lambda x: x.stride)
        side = to.resize(side, larger, f"step{i}/side")
        if reset or self._model.ablation in ("a", "baseline"):
            return side
        before = to.resize(before, larger, f"step{i}/before")
        if self._model.ablation == "d":
            return to.add_maps(before, side, f"step{i}/sum")
        return to.concatenate([before, side], f"step{i}/joined")

    def _saliency(self, i: int, feature: Map, before: Map | None) -> Map:
        """The logits of step i, at the feature's size."""
        to, params, name = self._to, self._params[f"step{i}"], f"step{i}"
        if before is None:
            return self._head(feature, params["saliency"], f"{name}/saliency")
        block = params["residual"]
        if not self._model.refines:
            x = self._block(feature, block["block1"], f"{name}/residual/block1")
        else:
            before = to.resize(before, feature, f"{name}/saliency_before")
            # As in `dms_jax.models.layers.Conv`: 257 channels suit no runtime.
            first = block["block1"]["conv"]
            own, added = np.split(first["kernel"], [feature.channels], axis=2)
            y = to.conv(feature, own, first["bias"], f"{name}/residual/block1/conv")
            z = to.conv(before, added, None, f"{name}/residual/block1/of_saliency")
            y = to.add_maps(y, z, f"{name}/residual/block1/sum")
            x = self._prelu(y, block["block1"], f"{name}/residual/block1")
        x = self._block(x, block["block2"], f"{name}/residual/block2")
        x = self._head(x, block["saliency"], f"{name}/residual/saliency")
        return to.add_maps(before, x, f"{name}/refined") if self._model.refines and before is not None else x

    def _head(self, x: Map, params: Params, name: str) -> Map:
        return self._to.conv(x, params["kernel"], params["bias"], name)

    def _classes(self, i: int, feature: Map, saliency: Map) -> str:
        """The class logits of step i, [B, 1, K]."""
        to, params, name = self._to, self._params[f"step{i}"]["classes"], f"step{i}/classes"
        pooling = self._model.class_pooling
        if pooling == "saliency":
            seen = self._seen(feature, saliency, None, name)
        else:
            seen = to.mean(feature, f"{name}/mean").name
        if pooling == "blend":
            seen = self._seen(feature, saliency, seen, name)
        pooled = to.add("Flatten", [seen], f"{name}/pooled")
        weights = [to.constant(f"{name}.{part}", params[part]) for part in ("kernel", "bias")]
        logits = to.add("Gemm", [pooled, *weights], name)
        return to.add("Unsqueeze", [logits, to.constant("axis1", np.array([1]))], f"{name}/logits")

    def _seen(self, feature: Map, saliency: Map, nothing: str | None, name: str) -> str:
        """`dms_jax.models.refinement.pool_by_saliency`, [B, C, 1, 1]; without `nothing`, that is 0."""
        to, axes = self._to, self._to.constant("axes", np.array([2, 3]))
        weight = to.add("Sigmoid", [saliency.name], f"{name}/weight")
        weighted = to.add("Mul", [feature.name, weight], f"{name}/weighted")
        total = to.add("ReduceSum", [weighted, axes], f"{name}/total", keepdims=1)
        if nothing is not None:
            total = to.add("Add", [total, nothing], f"{name}/total_and_nothing")
        area = to.add("ReduceSum", [weight, axes], f"{name}/area", keepdims=1)
        whole = to.add("Add", [area, to.constant("one", np.ones((1, 1, 1, 1), np.float32))], f"{name}/whole")
        return to.add("Div", [total, whole], f"{name}/seen")

    def _block(self, x: Map, params: Params, name: str, dilation: int = 1) -> Map:
        conv = params["conv"]
        y = self._to.conv(x, conv["kernel"], conv["bias"], f"{name}/conv", dilation=dilation)
        return self._prelu(y, params, name)

    def _prelu(self, x: Map, params: Params, name: str) -> Map:
        return self._to.activate(x, "prelu", name, _slope(params))

    def _conv(
        self, x: Map, params: Params, name: str, activation: Activation = "none", *, stride: int = 1, groups: int = 1
    ) -> Map:
        kernel = params["kernel"]
        if merged := merged_groups(kernel, groups, _CHANNELS_OF_A_GROUP):
            kernel, groups = np.asarray(widened(kernel, groups, merged)), merged
        x = self._to.conv(x, kernel, params["bias"], name, stride=stride, groups=groups)
        return self._to.activate(x, activation, f"{name}/{activation}")


def _slope(params: Params) -> float:
    return float(params["prelu"]["negative_slope"])
