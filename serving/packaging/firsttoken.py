"""The last layer of a classifier, computed for the one token whose state is read.

Of the last layer's states a sequence classifier reads that of the first token. What follows the attention works token
by token: the product that ends it and the feed-forward network, which are three quarters of a layer. Where nothing else
reads what they give, they are given the first token alone. The answers are the same; a graph in which there is nothing
to save stays as it is.
"""

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

_VALUE_BY_VALUE: Final = frozenset(
    {"Add", "Sub", "Mul", "Div", "Pow", "Sqrt", "Erf", "Tanh", "Sigmoid", "Relu", "Gelu", "Identity", "Cast"}
)
_TOKENS_AXIS: Final = 1
_RANK: Final = 3
"""Of states: [texts, tokens, width]."""


def narrow(source: Path, target: Path) -> Path:
    """The graph that gives the same answers with less work: ``target``, written anew, or ``source`` as it is.

    That is also what remains where the package ``onnx`` is not installed, or the file is no graph.
    """
    if find_spec("onnx") is None:
        return source
    import onnx

    try:
        model = onnx.load(source)
        inferred = onnx.shape_inference.infer_shapes(model)
    except Exception:  # noqa: BLE001  (of many kinds; ONNX Runtime will say what is wrong with the file)
        return source
    graph = _Graph(inferred.graph)
    nodes = graph.token_by_token()
    if not any(node.op_type == "MatMul" for node in nodes):
        return source
    _give_first_token(model.graph, [graph.index(node) for node in nodes], graph)
    target.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, target)
    return target


class _Graph:
    """A graph with its shapes, and who reads what in it."""

    def __init__(self, graph: Any) -> None:
        from onnx import numpy_helper

        self._nodes = list(graph.node)
        self._order = {id(node): at for at, node in enumerate(self._nodes)}
        self._outputs = {output.name for output in graph.output}
        self._ranks = {
            value.name: len(value.type.tensor_type.shape.dim)
            for value in (*graph.value_info, *graph.input, *graph.output)
            if value.type.tensor_type.HasField("shape")
        }
        self._constants: Mapping[str, Any] = {tensor.name: tensor for tensor in graph.initializer} | {
            node.output[0]: node.attribute[0].t
            for node in self._nodes
            if node.op_type == "Constant" and node.attribute[0].name == "value"
        }
        self._to_array = numpy_helper.to_array
        self._readers: dict[str, list[Any]] = {}
        for node in self._nodes:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)

    def index(self, node: Any) -> int:
        return self._order[id(node)]

    def states(self, node: Any) -> list[str]:
        """Those inputs of a node that have tokens."""
        return [name for name in node.input if name not in self._constants and self._ranks.get(name) == _RANK]

    def token_by_token(self) -> list[Any]:
        """The nodes that work token by token, and of whose outputs nothing but the first token is read; in order."""
        if any(attribute.HasField("g") or attribute.graphs for node in self._nodes for attribute in node.attribute):
            return []  # a branch or a loop may read anything
        found: dict[int, Any] = {}
        for node in reversed(self._nodes):
            readers = [reader for name in node.output for reader in self._readers.get(name, ())]
            narrowed = (id(reader) in found or self._reads_first_token(reader, node.output[0]) for reader in readers)
            if readers and not self._outputs & {*node.output} and self._keeps_tokens_apart(node) and all(narrowed):
                found[id(node)] = node
        return list(reversed(found.values()))

    def _reads_first_token(self, node: Any, name: str) -> bool:
        if node.op_type != "Gather" or node.input[0] != name or self._ranks.get(name) != _RANK:
            return False
        constant = self._constants.get(node.input[1])
        axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
        return axis == _TOKENS_AXIS and constant is not None and not self._to_array(constant).any()

    def _keeps_tokens_apart(self, node: Any) -> bool:
        if len(node.output) != 1 or self._ranks.get(node.output[0]) != _RANK or not self.states(node):
            return False
        first, *others = node.input
        if node.op_type == "MatMul":
            return first not in self._constants and all(self._rank_of_constant(name) == 2 for name in others)
        if node.op_type == "LayerNormalization":
            axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), -1)
            return axis in (-1, _RANK - 1) and first not in self._constants
        if node.op_type not in _VALUE_BY_VALUE:
            return False
        return all(self._fits_any_token(name) for name in node.input)

    def _fits_any_token(self, name: str) -> bool:
        """States, or a constant that is the same for every token."""
        if (constant := self._constants.get(name)) is None:
            return self._ranks.get(name) == _RANK
        return len(constant.dims) < _RANK - 1 or constant.dims[-2] == 1

    def _rank_of_constant(self, name: str) -> int | None:
        return len(self._constants[name].dims) if name in self._constants else None


def _give_first_token(graph: Any, indices: list[int], shapes: _Graph) -> None:
    """The nodes at ``indices`` read the first token of whatever the others give them."""
    nodes = list(graph.node)
    narrowed = {name for index in indices for name in nodes[index].output}
    cut: dict[str, str] = {}
    slices: dict[int, list[Any]] = {}
    for index in indices:
        node = nodes[index]
        states = {*shapes.states(node)} - narrowed
        for at, name in enumerate(node.input):
            if name not in states:
                continue
            if name not in cut:
                cut[name] = f"{name}_first_token"
                slices.setdefault(index, []).append(_slice(name, cut[name]))
            node.input[at] = cut[name]
    del graph.node[:]
    for index, node in enumerate(nodes):
        graph.node.extend([*slices.get(index, ()), node])
    graph.initializer.extend(_bounds())
    del graph.value_info[:]  # written for all tokens


_FROM, _TO, _AXIS = (f"serin_first_token_{name}" for name in ("from", "to", "axis"))


def _slice(name: str, output: str) -> Any:
    from onnx import helper

    return helper.make_node("Slice", [name, _FROM, _TO, _AXIS], [output])


def _bounds() -> Iterator[Any]:
    from onnx import TensorProto, helper

    for name, value in ((_FROM, 0), (_TO, 1), (_AXIS, _TOKENS_AXIS)):
        yield helper.make_tensor(name, TensorProto.INT64, [1], [value])
