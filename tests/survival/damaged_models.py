"""Weights, exported networks, prepared datasets and checkpoints, for trials of damaged ones."""

import json
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
from survival.damaged_samples import Maker, Sample

from dms_jax.data.framing import Framing
from dms_jax.inference.description import ModelDescription
from dms_jax.inference.exported.metadata import ExportMetadata

_SIDE = 16
_DESCRIPTION = ModelDescription(("free", "crack"), "free", Framing(size=_SIDE))


def _weights(folder: Path) -> list[Sample]:
    import torch

    from dms_jax.interop.torch_files import read_tensors, write_tensors

    random = np.random.default_rng(0)
    tensors = {"conv.weight": random.normal(size=(8, 3, 3, 3)).astype(np.float32), "bn.bias": np.zeros(8, np.float32)}
    for name in ("weights.safetensors", "weights.pth"):
        write_tensors(folder / name, tensors, {"source": "a test"})
    legacy = {name: torch.from_numpy(tensor) for name, tensor in tensors.items()}
    torch.save({"state_dict": legacy}, folder / "legacy.pth", _use_new_zipfile_serialization=False)

    def read(path: Path) -> None:
        read_tensors(path)

    return [Sample(path, partial(read, path), str(path)) for path in sorted(folder.iterdir())]


def _onnx(folder: Path) -> list[Sample]:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from dms_jax.inference.exported.onnx_file import describe
    from dms_jax.inference.exported.onnx_session import OnnxPredictor

    kernel = np.random.default_rng(0).normal(size=(2, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["images"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["real"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "kernel"], ["features"], pads=[1, 1, 1, 1]),
        helper.make_node("Sigmoid", ["features"], ["saliency"]),
        helper.make_node("ReduceMean", ["saliency"], ["pooled"], axes=[3], keepdims=0),
        helper.make_node("Softmax", ["pooled"], ["classes"], axis=-1),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["B", "H", "W", 3])],
        [
            helper.make_tensor_value_info("saliency", TensorProto.FLOAT, ["B", 2, "H", "W"]),
            helper.make_tensor_value_info("classes", TensorProto.FLOAT, ["B", 2, "H"]),
        ],
        [numpy_helper.from_array(kernel, "kernel")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    describe(model, ExportMetadata.today(_DESCRIPTION, "all", "ONNX, opset 17"))
    path = folder / "model.onnx"
    onnx.save(model, path)
    images = np.zeros((1, _SIDE, _SIDE, 3), np.uint8)

    def read() -> None:
        OnnxPredictor(path, threads=1)(images)

    return [Sample(path, read, str(path))]


def _jax_program(folder: Path) -> list[Sample]:
    import jax
    import jax.export

    from dms_jax.inference.exported.jax_program import read_jax_program

    def predict(images: jax.Array) -> tuple[jax.Array, jax.Array]:
        real = images.astype(np.float32) / 255
        return real.mean(-1)[:, None], real.mean((1, 2))[:, None, :2]

    images = jax.ShapeDtypeStruct((1, _SIDE, _SIDE, 3), np.uint8)
    program = jax.export.export(jax.jit(predict), platforms=("cpu", "cuda"))(images).serialize()
    path = folder / "model.jaxexport"
    metadata = ExportMetadata.today(_DESCRIPTION, "final", "jax.export")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps(metadata.to_json()))
        archive.writestr("program.bin", bytes(program))

    def read() -> str | None:
        call, found = read_jax_program(path)
        saliency, _ = call(np.full((1, _SIDE, _SIDE, 3), 51, np.uint8))
        return None if found == metadata and np.allclose(saliency, 0.2) else "silently another network"

    return [Sample(path, read, str(path))]


def _prepared(folder: Path) -> list[Sample]:
    from dms_jax.data.prepare import prepare

    options = {"data_dir": str(folder), "synthetic": {"images": 40, "size": 48}}
    dataset = prepare("synthetic", **options)
    splits = tuple(dataset.sizes)
    whole = {split: list(dataset.source(split)) for split in splits}

    def read() -> str | None:
        opened = prepare("synthetic", **options)
        for split in splits:
            source = opened.source(split)
            source.defective_shares()
            for index, example in enumerate(whole[split]):
                read_again = source[index]
                if any(not np.array_equal(read_again[key], example[key]) for key in example):
                    return "silently another example"
        return None

    files = sorted(path for path in Path(dataset.directory).iterdir() if path.suffix != ".json")
    described = sorted(Path(dataset.directory).glob("*.json"))
    # Most of what a disk damages are images.
    return [
        Sample(path, read, str(folder), path.suffix == ".json")
        for path in (*files, *files, *described)
        if path.is_file()
    ]


def _checkpoint(folder: Path) -> list[Sample]:
    from dms_jax.checkpoints.trees import read_tree, write_tree

    random = np.random.default_rng(0)
    tree = {
        "params": {f"conv{number}": random.normal(size=(64, 17)).astype(np.float32) for number in range(3)},
        "batch_stats": {"mean": random.normal(size=8).astype(np.float32)},
    }
    place = folder / "tree"
    write_tree(place, tree)

    def read() -> str | None:
        import jax

        found = read_tree(place)
        same = jax.tree.structure(found) == jax.tree.structure(tree) and jax.tree.all(
            jax.tree.map(np.array_equal, found, tree)
        )
        return None if same else "other content"

    return [
        Sample(path, read, str(place), path.read_bytes()[:1] == b"{")
        for path in sorted(place.rglob("*"))
        if path.is_file() and path.stat().st_size
    ]


KINDS: dict[str, Maker] = {
    "weights": _weights,
    "onnx": _onnx,
    "jaxexport": _jax_program,
    "prepared": _prepared,
    "checkpoint": _checkpoint,
}
