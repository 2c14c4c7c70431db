"""An ONNX graph, node by node: the layers of this project's networks, channels first, as ONNX has them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import TensorProto, helper, numpy_helper

from dms_jax.ops.batch_norm import Activation


@dataclass(frozen=True)
class Map:
    """A map in the graph, float32 [B, channels, ceil(H / stride), ceil(W / stride)] of images [B, H, W, 3].

    Attributes:
      name: of the graph's value.
      channels: how many.
      stride: the size of a map depends on that alone, whatever has led to it.
    """

    name: str
    channels: int
    stride: int


class GraphWriter:
    """Collects the nodes and constants of a graph.

    What is computed from sizes is computed once for each stride. Values are named after the modules that compute them.
    """

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._known: dict[tuple[Any, ...], str] = {}

    def add(self, op: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Add a node of one output, which is named as the node is, and return the name."""
        self._nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, name: str, value: ArrayLike) -> str:
        """Add a constant, unless there is one of that name, and return the name."""
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def graph(self, name: str, inputs: dict[str, Any], outputs: dict[str, Any], text: str) -> onnx.GraphProto:
        """The graph so far.

        Args:
          name: of the graph.
          inputs: for each, its type and shape, as `onnx.helper.make_tensor_value_info` takes them.
          outputs: the same.
          text: what it is, for those who open it in a viewer.
        """
        given, made = (
            [helper.make_tensor_value_info(each, *how) for each, how in values.items()] for values in (inputs, outputs)
        )
        return helper.make_graph(self._nodes, name, given, made, list(self._constants.values()), doc_string=text)

    def size_of(self, reference: Map | str) -> str:
        """(H, W) of a map, or of a value that is named; int64 [2]."""
        name, key = (reference.name, reference.stride) if isinstance(reference, Map) else (reference, 0)
        return self._once(("size", key), "Shape", [name], f"size_at_stride{key}", start=2)

    def conv(
        self,
        x: Map,
        kernel: np.ndarray,
        bias: np.ndarray | None,
        name: str,
        *,
        stride: int = 1,
        groups: int = 1,
        dilation: int = 1,
    ) -> Map:
        """A convolution that keeps the size, or divides it by the stride.

        Args:
          x: the map.
          kernel: [k, k, C / groups, D], k odd.
          bias: [D], or None.
          name: of the node.
          stride: spatial stride.
          groups: groups of channels.
          dilation: spacing of the kernel's taps.
        """
        size = kernel.shape[0]
        inputs = [x.name, self.constant(f"{name}.kernel", kernel.transpose(3, 2, 0, 1))]
        if bias is not None:
            inputs.append(self.constant(f"{name}.bias", bias))
        self.add(
            "Conv",
            inputs,
            name,
            kernel_shape=[size, size],
            pads=[dilation * (size // 2)] * 4,
            strides=[stride, stride],
            dilations=[dilation, dilation],
            group=groups,
        )
        return Map(name, kernel.shape[3], x.stride * stride)

    def activate(self, x: Map, activation: Activation, name: str, slope: float = 0.0) -> Map:
        """See `dms_jax.ops.batch_norm.activate`."""
        if activation == "none":
            return x
        if activation == "relu":
            return Map(self.add("Relu", [x.name], name), x.channels, x.stride)
        # With one slope for all channels a PReLU is a LeakyRelu, which runtimes join to the convolution before it.
        return Map(self.add("LeakyRelu", [x.name], name, alpha=slope), x.channels, x.stride)

    def add_maps(self, a: Map, b: Map, name: str) -> Map:
        """The sum of two maps of one size; one of them may have a single channel."""
        return Map(self.add("Add", [a.name, b.name], name), max(a.channels, b.channels), a.stride)

    def concatenate(self, maps: Sequence[Map], name: str) -> Map:
        """Maps of one size, joined along their channels."""
        if len(maps) == 1:
            return maps[0]
        self.add("Concat", [x.name for x in maps], name, axis=1)
        return Map(name, sum(x.channels for x in maps), maps[0].stride)

    def max_pool(self, x: Map, name: str) -> Map:
        """3 x 3 of stride 2 and padding 1; ONNX pads with what no maximum ever is."""
        self.add("MaxPool", [x.name], name, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2])
        return Map(name, x.channels, x.stride * 2)

    def resize(self, x: Map, reference: Map, name: str) -> Map:
        """Bilinear with aligned corners, to the size of another map; x itself where that has its stride."""
        if x.stride == reference.stride:
            return x
        return self._resized(x, reference, name)

    def transposed_conv(
        self, x: Map, kernel: np.ndarray, bias: np.ndarray, reference: Map, slope: float, name: str
    ) -> Map:
        """`dms_jax.models.layers.TransposedConvBlock`, folded, to the size of another map.

        Args:
          x: the map.
          kernel: [4, 4, D, C].
          bias: [D].
          reference: has the size of the result.
          slope: of the PReLU.
          name: of the last node.
        """
        weights = [self.constant(f"{name}.kernel", kernel.transpose(3, 2, 0, 1)), self.constant(f"{name}.bias", bias)]
        doubled = self.add(
            "ConvTranspose",
            [x.name, *weights],
            f"{name}.doubled",
            kernel_shape=[4, 4],
            pads=[1, 1, 1, 1],
            strides=[2, 2],
        )
        zeros, axes = self.constant("zeros", np.zeros(2, np.int64)), self.constant("axes", np.array([2, 3]))
        cropped = self.add("Slice", [doubled, zeros, self.size_of(reference), axes], f"{name}.cropped")
        y = self.activate(Map(cropped, kernel.shape[2], reference.stride), "prelu", name, slope)
        if x.stride == 2 * reference.stride:
            return y
        return self._resized(y, reference, f"{name}.resized")

    def mean(self, x: Map, name: str) -> Map:
        """The mean over all pixels, [B, C, 1, 1]; the stride says nothing of it."""
        return Map(self.add("GlobalAveragePool", [x.name], name), x.channels, x.stride)

    def _resized(self, x: Map, reference: Map, name: str) -> Map:
        size = self._once(
            ("map", reference.stride, x.channels),
            "Concat",
            [
                self._once(("batch",), "Shape", [x.name], "batch", start=0, end=1),
                self.constant(f"channels{x.channels}", np.array([x.channels])),
                self.size_of(reference),
            ],
            f"size_of_{x.channels}_at_stride{reference.stride}",
            axis=0,
        )
        self.add("Resize", [x.name, "", "", size], name, mode="linear", coordinate_transformation_mode="align_corners")
        return Map(name, x.channels, reference.stride)

    def _once(self, key: tuple[Any, ...], op: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        if key not in self._known:
            self._known[key] = self.add(op, inputs, name, **attributes)
        return self._known[key]


FLOAT, BYTE = TensorProto.FLOAT, TensorProto.UINT8
