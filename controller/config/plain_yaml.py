"""YAML that people write, read within bounds: what a text expands to is known before anything is made of it.

An alias stands for all that its anchor holds, and aliases of aliases for that many times more: a few lines could ask
for all memory. So the text is counted as it would be when every alias is written out.
"""

from typing import Any, Final

import yaml

BYTES_MAX: Final = 2**18
DEPTH_MAX: Final = 20
NODES_MAX: Final = 20_000  # every alias written out


class PlainYamlError(ValueError):
    """No YAML, or more of it than is read; the message is one line."""


def parse(text: str) -> tuple[yaml.Node | None, Any]:
    """The document's nodes, which know their lines, and its plain values.

    Raises:
        PlainYamlError: it is not YAML, has tags of programs, or is too long, too deep or too large.
    """
    if len(text.encode(errors="replace")) > BYTES_MAX:
        raise PlainYamlError(f"it is longer than {BYTES_MAX} bytes")
    try:
        node = _composed(text)
        return node, yaml.safe_load(text)
    except PlainYamlError:
        raise
    except (
        yaml.YAMLError,
        ValueError,
        OverflowError,
    ) as error:  # also a date of the 99th month, a number of 5,000 digits
        raise PlainYamlError(f"not YAML: {' '.join(str(error).split())}") from error


def _composed(text: str) -> yaml.Node | None:
    _check_depth(text)
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if node is not None and _written_out(node, {}) > NODES_MAX:
        raise PlainYamlError(f"with its aliases written out it has more than {NODES_MAX} values")
    return node


def _check_depth(text: str) -> None:
    """By the events, since the tree is built by recursion."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEPTH_MAX:
                raise PlainYamlError(f"line {_line(event.start_mark)}: nested deeper than {DEPTH_MAX} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _written_out(node: yaml.Node, sizes: dict[int, int | None]) -> int:
    """Return how many nodes it is with its aliases written out. ``sizes``: what is known by a node's identity; None
    while it is being counted."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    key = id(node)
    if key not in sizes:
        sizes[key] = None
        inner = node.value if isinstance(node, yaml.SequenceNode) else [part for pair in node.value for part in pair]
        sizes[key] = 1 + sum(_written_out(part, sizes) for part in inner)
    size = sizes[key]
    if size is None:
        raise PlainYamlError(f"line {_line(node.start_mark)}: an alias within what it stands for")
    return size


def _line(mark: Any) -> int:
    """Counted from 1."""
    return mark.line + 1 if mark is not None else 1
