"""The tensors of safetensors and ONNX files, read without the libraries that made them.

Only headers are read until a tensor's numbers are asked for, and those are mapped, not copied.
"""

import json
import math
import mmap
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from serving.package.artifact import GRAPH_FILE, WEIGHTS_FILE, ArtifactError

INDEX_FILE: Final = "model.safetensors.index.json"
"""Where weights lie in several files: which tensor is in which."""

FLOATS: Final = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}  # bf16 is the upper half of a float32
_SIZES: Final = {
    "F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2,
    "I8": 1, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1,
}  # fmt: skip
_HEADER_BYTES_MAX: Final = 100 * 2**20  # the format's own limit
_COPY_BYTES: Final = 2**24


@dataclass(frozen=True, slots=True)
class Tensor:
    """The place of a tensor's numbers: ``size_bytes`` at ``offset`` in ``path``; ``kind`` by safetensors' names."""

    name: str
    kind: str
    shape: tuple[int, ...]
    path: Path
    offset: int
    size_bytes: int

    def floats(self) -> npt.NDArray[np.float32]:
        """Its numbers in single precision."""
        if not self.size_bytes:
            return np.zeros(self.shape, dtype=np.float32)
        stored = np.memmap(self.path, FLOATS[self.kind], "r", self.offset, (math.prod(self.shape),)).reshape(self.shape)
        if self.kind != "BF16":
            return np.asarray(stored, dtype=np.float32)
        return (np.asarray(stored).astype(np.uint32) << 16).view(np.float32)


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file: 8 bytes of length, then JSON that places every tensor inside the file.

    Raises:
        ArtifactError: the file is something else.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
        if not 2 <= length <= min(size - 8, _HEADER_BYTES_MAX):
            raise ArtifactError(path.name, "is not a safetensors file (its header has an impossible length)")
        header = file.read(length)
    try:
        entries = {name: entry for name, entry in json.loads(header).items() if name != "__metadata__"}
        tensors = {name: _entry(path, 8 + length, name, entry) for name, entry in entries.items()}
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise ArtifactError(path.name, f"is not a safetensors file ({error})") from error
    if not tensors or max(tensor.offset + tensor.size_bytes for tensor in tensors.values()) != size:
        raise ArtifactError(path.name, "is not a whole safetensors file (its tensors do not fill it)")
    return tensors


def _entry(path: Path, base: int, name: str, entry: Mapping[str, Any]) -> Tensor:
    kind, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    if not all(type(number) is int and number >= 0 for number in (*shape, begin, end)):
        raise ValueError(f"{name} has a place or shape that is not a number")
    if kind in _SIZES and end - begin != math.prod(shape) * _SIZES[kind]:
        raise ValueError(f"{name} does not fill its place")
    return Tensor(name, kind, shape, path, base + begin, end - begin)


def merge_shards(directory: Path, target: Path) -> None:
    """Write the weights that lie in several files as one, its tensors in an order that is always the same.

    Raises:
        ArtifactError: the index, or a file that it names, is not what it should be.
    """
    try:
        places = json.loads((directory / INDEX_FILE).read_bytes())["weight_map"]
        files = sorted(set(places.values()))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ArtifactError(INDEX_FILE, f"does not say which tensor is in which file ({error})") from error
    held: dict[str, dict[str, Tensor]] = {}
    for name in files:
        if not isinstance(name, str) or name != Path(name).name or not name.endswith(".safetensors"):
            raise ArtifactError(INDEX_FILE, f"names {name!r}, which is not a safetensors file beside it")
        if not (directory / name).is_file():
            raise ArtifactError(name, f"is missing in the checkpoint {directory}, but {INDEX_FILE} names it")
        held[name] = read_safetensors(directory / name)
    tensors = []
    for tensor, name in places.items():
        if tensor not in held[name]:
            raise ArtifactError(name, f"lacks {tensor}, which {INDEX_FILE} says it holds")
        tensors.append(held[name][tensor])
    _write_safetensors(sorted(tensors, key=lambda tensor: (-_SIZES.get(tensor.kind, 0), tensor.name)), target)


def _write_safetensors(tensors: Sequence[Tensor], target: Path) -> None:
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in tensors:
        begin, end = end, end + tensor.size_bytes
        entries[tensor.name] = {"dtype": tensor.kind, "shape": tensor.shape, "data_offsets": [begin, end]}
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    with target.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for tensor in tensors:
            with tensor.path.open("rb") as source:
                source.seek(tensor.offset)
                left = tensor.size_bytes
                while left and (piece := source.read(min(left, _COPY_BYTES))):
                    file.write(piece)
                    left -= len(piece)


# ONNX is a protobuf message: fields of a number and a kind. Those that hold weights are read here, by the numbers of
# onnx.proto; https://protobuf.dev/programming-guides/encoding says how they are written.
_GRAPH, _INITIALIZER = 7, 5
_DIMS, _DATA_TYPE, _FLOAT_DATA, _NAME, _RAW_DATA, _EXTERNAL, _LOCATION = 1, 2, 4, 8, 9, 13, 14
_KEY, _VALUE = 1, 2
_ONNX_KINDS: Final = {1: "F32", 10: "F16", 11: "F64", 16: "BF16"}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def read_onnx(path: Path) -> dict[str, Tensor]:
    """The weights of a graph in floating point, by name; they may lie in a file beside it.

    Raises:
        ArtifactError: the file is no graph, or names weights that do not lie beside it.
    """
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            raise ArtifactError(GRAPH_FILE, "is not a graph in ONNX (it is empty)")
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    try:
        graphs = [value for number, value in _fields(data, 0, len(data)) if number == _GRAPH]
        places = [value for graph in graphs for number, value in _fields(data, *graph) if number == _INITIALIZER]
        found = [_initializer(path, data, *place) for place in places]
    except (ValueError, TypeError, IndexError, KeyError, UnicodeDecodeError) as error:
        raise ArtifactError(GRAPH_FILE, f"is not a graph in ONNX ({error})") from error
    if not graphs:
        raise ArtifactError(GRAPH_FILE, "is not a graph in ONNX")
    return {tensor.name: tensor for tensor in found if tensor is not None}


def _initializer(path: Path, data: memoryview, begin: int, end: int) -> Tensor | None:
    dims: list[int] = []
    name, kind = "", 0
    place: tuple[int, int] | None = None
    external: dict[str, str] = {}
    for number, value in _fields(data, begin, end):
        if number == _DIMS:
            dims += [value] if isinstance(value, int) else _varints(data, *value)
        elif number == _DATA_TYPE:
            kind = value
        elif number == _NAME:
            name = bytes(data[slice(*value)]).decode()
        elif number in (_RAW_DATA, _FLOAT_DATA):
            place = value
        elif number == _EXTERNAL:
            pair = {key: bytes(data[slice(*text)]).decode() for key, text in _fields(data, *value)}
            external[pair[_KEY]] = pair[_VALUE]
    if kind not in _ONNX_KINDS or (place is None and not external):
        return None  # of no floating point, or written number by number: small
    size = math.prod(dims) * _SIZES[_ONNX_KINDS[kind]]
    begin, end = place or (0, 0)
    tensor = Tensor(name, _ONNX_KINDS[kind], tuple(dims), path, begin, size)
    if external:
        return _beside(replace(tensor, offset=int(external.get("offset", 0))), external["location"])
    if end - begin != size:
        raise ValueError(f"{name} does not fill its place")
    return tensor


def _beside(tensor: Tensor, name: str) -> Tensor:
    """A weight that lies in another file, which must be beside the graph."""
    path = tensor.path.parent / name
    if name != path.name or not path.is_file():
        raise ArtifactError(GRAPH_FILE, f"has weights in {name!r}, which is not beside it")
    if not 0 <= tensor.offset <= path.stat().st_size - tensor.size_bytes:
        raise ValueError(f"{tensor.name} lies beyond the end of {name}")
    return replace(tensor, path=path)


def _fields(data: memoryview, at: int, end: int) -> Iterator[tuple[int, Any]]:
    """The fields of a message in ``[at, end)``: the number of each, and its value, or for bytes where they lie."""
    while at < end:
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, value
        elif kind == _BYTES:
            length, at = _varint(data, at)
            if at + length > end:
                raise ValueError("a field goes beyond its message")
            yield number, (at, at + length)
            at += length
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError("a field of an unknown kind")


def _varints(data: memoryview, at: int, end: int) -> Iterator[int]:
    while at < end:
        value, at = _varint(data, at)
        yield value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")


def check_graph_weights(graph: Path, weights: Mapping[str, Tensor]) -> None:
    """Refuse a graph that was made of other weights than those beside it.

    A weight that has the same name in both (up to the part that is exported) must be the same, and so must every matrix
    of the graph that has the shape of a matrix of the checkpoint (exporters rename matrices and turn them). Half
    precision on either side may round.

    Raises:
        ArtifactError: naming the first weight that differs, or that nothing is the same in both.
    """
    by_shape: dict[tuple[int, ...], list[Tensor]] = {}
    for tensor in weights.values():
        if tensor.kind in FLOATS and len(tensor.shape) == 2:
            by_shape.setdefault(tensor.shape, []).append(tensor)
    same, names = 0, _shorter_names(weights)
    for name, tensor in read_onnx(graph).items():
        named = next((names[part] for part in _endings(name) if part in names), None)
        if named is not None and named.kind in FLOATS:
            if not (_alike(tensor, named) or (len(named.shape) == 2 and _alike(tensor, named, turned=True))):
                raise ArtifactError(GRAPH_FILE, _other_weights(name))
            same += math.prod(tensor.shape) > 1
        elif len(tensor.shape) == 2 and min(tensor.shape) > 1:
            alike = [other for other in by_shape.get(tensor.shape, ()) if _alike(tensor, other)]
            turned = [other for other in by_shape.get(tensor.shape[::-1], ()) if _alike(tensor, other, turned=True)]
            if not (alike or turned) and (tensor.shape in by_shape or tensor.shape[::-1] in by_shape):
                raise ArtifactError(GRAPH_FILE, _other_weights(name))
            same += bool(alike or turned)
    if not same:
        raise ArtifactError(
            GRAPH_FILE,
            f"holds no weight of {WEIGHTS_FILE}: leave it out, and a graph is exported; for int8 use --variant",
        )


def _shorter_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights by their names, and by those names from the second part on, where that is not ambiguous."""
    shorter: dict[str, Tensor | None] = {}
    for name, tensor in weights.items():
        for ending in list(_endings(name))[1:2]:
            shorter[ending] = None if ending in shorter else tensor
    return {name: tensor for name, tensor in {**shorter, **weights}.items() if tensor is not None}


def _endings(name: str) -> Iterator[str]:
    """A dotted name, and what is left of it without its first parts: two parts at the least."""
    parts = name.split(".")
    for begin in range(max(1, len(parts) - 1)):
        yield ".".join(parts[begin:])


def _other_weights(name: str) -> str:
    return f"{name!r} holds other numbers than {WEIGHTS_FILE}: leave {GRAPH_FILE} out, or export it again"


def _alike(one: Tensor, other: Tensor, *, turned: bool = False) -> bool:
    if one.shape != (other.shape[::-1] if turned else other.shape):
        return False
    first, second = one.floats(), other.floats().T if turned else other.floats()
    if {one.kind, other.kind} <= {"F32", "F64"} or one.kind == other.kind:
        return np.array_equal(first[:1], second[:1]) and np.array_equal(first, second)
    digits = 8 if "BF16" in (one.kind, other.kind) else 11
    return np.allclose(first, second, rtol=2.0 ** (1 - digits), atol=1e-6)  # 1e-6: what has no full digits in fp16
