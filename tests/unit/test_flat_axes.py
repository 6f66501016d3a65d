"""Graphs without the axis that is dropped and added again: the same numbers, and steps that touch each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from octodon.distillation.student import Student  # noqa: E402
from octodon.ensemble.network import FittedNetwork  # noqa: E402
from octodon.handover.flat_axes import without_flat_axes  # noqa: E402
from octodon.handover.onnx_file import open_session, to_onnx  # noqa: E402
from octodon.handover.whole import assemble  # noqa: E402
from octodon.models.model import ModelConfig, build_model  # noqa: E402

X = np.random.default_rng(0).normal(size=(2, 3, 1, 8)).astype(np.float32)


def model_of(*steps: tuple[str, list[str], str], outputs: tuple[str, ...] = ("y",)) -> onnx.ModelProto:
    """Return a graph of steps (operation, inputs, output); "two", "one" are axes, "w" is a kernel."""
    rng = np.random.default_rng(1)
    values = {
        "two": np.array([2]),
        "one": np.array([1]),
        "w": rng.normal(size=(3, 3, 1, 3)).astype(np.float32),
    }
    nodes = [
        helper.make_node(
            op, inputs, [output], name=output, **({"pads": [0, 1, 0, 1]} if op == "Conv" else {})
        )
        for op, inputs, output in steps
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3, 1, 8])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(model: onnx.ModelProto) -> list[np.ndarray]:
    return open_session(model.SerializeToString()).run(None, {"x": X})


def operations(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def test_steps_that_an_axis_parts_are_joined_across_elementwise_ones_too() -> None:
    model = model_of(
        ("Conv", ["x", "w"], "a"),
        ("Squeeze", ["a", "two"], "b"),
        ("Unsqueeze", ["b", "two"], "c"),
        ("Conv", ["c", "w"], "d"),
        ("Squeeze", ["d", "two"], "e"),
        ("Relu", ["e"], "f"),
        ("Unsqueeze", ["f", "two"], "g"),
        ("Conv", ["g", "w"], "h"),
        ("Squeeze", ["h", "two"], "y"),
    )
    before = run(model)
    assert without_flat_axes(model.graph) == 2
    assert operations(model) == ["Conv", "Conv", "Relu", "Conv", "Squeeze"]
    np.testing.assert_allclose(run(model)[0], before[0], rtol=0, atol=1e-6)
    assert run(model)[0].shape == (2, 3, 8)


@pytest.mark.parametrize(
    ("steps", "outputs"),
    [
        # another axis comes back than was dropped
        ([("Squeeze", ["x", "two"], "b"), ("Unsqueeze", ["b", "one"], "c"), ("Relu", ["c"], "y")], ("y",)),
        # somebody else reads the elementwise step without the axis
        (
            [
                ("Squeeze", ["x", "two"], "b"),
                ("Relu", ["b"], "y"),
                ("Unsqueeze", ["y", "two"], "c"),
                ("Tanh", ["c"], "z"),
            ],
            ("y", "z"),
        ),
        # what comes back is itself a result
        ([("Squeeze", ["x", "two"], "b"), ("Relu", ["b"], "c"), ("Unsqueeze", ["c", "two"], "y")], ("y",)),
    ],
)
def test_what_another_step_needs_stays(steps: list, outputs: tuple[str, ...]) -> None:
    model = model_of(*steps, outputs=outputs)
    before, names = run(model), operations(model)
    assert without_flat_axes(model.graph) == 0
    assert operations(model) == names
    for got, expected in zip(run(model), before, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_in_an_exported_network_each_normalisation_follows_its_convolution() -> None:
    config = ModelConfig(backbone="deepstarr", length=64, n_targets=1, head="distilled")
    weights = build_model(config, seed=1).state_dict()
    for value in weights.values():
        if value.is_floating_point():
            value += 0.01 * torch.rand(value.shape, generator=torch.Generator().manual_seed(0))
    fitted = FittedNetwork(index=0, attempt=0, seed=1, weights=weights, history=[])
    student = Student(model=config, target_names=("a",), units="log2", fitted=fitted)
    graph = onnx.load_model_from_string(to_onnx(assemble(student), student)).graph
    made_by = {output: node.op_type for node in graph.node for output in node.output}
    norms = [node for node in graph.node if node.op_type == "BatchNormalization"]
    assert [made_by[node.input[0]] for node in norms] == ["Conv"] * 4 + ["Gemm"] * 2
