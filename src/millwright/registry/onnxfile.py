"""ONNX files with one spelling, and which columns stand in which of their tensors.

Nodes and values are numbered in graph order, attributes and operator sets are sorted, and
nothing tells the time, so that the same conversion gives the same bytes.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from onnx import ModelProto

LAYOUT_KEY = "millwright.inputs"
_GRAPH_NAME = "model"


@dataclass(frozen=True, slots=True)
class Layout:
    """Which columns each tensor holds, in order."""

    numbers: tuple[str, ...] = ()
    integers: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """All columns in the order in which the graph sees them."""
        return [*self.numbers, *self.integers, *self.texts]


def spell(graph: ModelProto, layout: Layout) -> bytes:
    """Return the graph's bytes in their one spelling, with its layout in the metadata."""
    model = copy.deepcopy(graph)
    body = model.graph
    body.name = _GRAPH_NAME
    kept = {value.name for value in (*body.input, *body.output)}
    names: dict[str, str] = {"": ""} | {name: name for name in kept}
    # A graph inside a node sees the names around it; there the converter's own stay, which
    # are counted too.
    nested = any(attribute.HasField("g") for node in body.node for attribute in node.attribute)
    for node in body.node:
        for name in (*node.input, *node.output):
            names.setdefault(name, name if nested else f"v{len(names)}")
    for number, node in enumerate(body.node):
        node.name = f"n{number}"
        node.doc_string = ""
        inputs, outputs = list(node.input), list(node.output)
        del node.input[:], node.output[:]
        node.input.extend(names[name] for name in inputs)
        node.output.extend(names[name] for name in outputs)
        attributes = sorted(node.attribute, key=lambda attribute: attribute.name)
        del node.attribute[:]
        node.attribute.extend(attributes)
    weights = list(body.initializer)
    for weight in weights:
        weight.name = names.get(weight.name, weight.name)
    weights.sort(key=lambda weight: weight.name)
    del body.initializer[:]
    body.initializer.extend(weights)
    # Shapes of values in between are a help to viewers, under names that are gone.
    del body.value_info[:]
    body.doc_string = model.doc_string = ""
    domains = sorted(model.opset_import, key=lambda domain: domain.domain)
    del model.opset_import[:]
    model.opset_import.extend(domains)
    del model.metadata_props[:]
    entry = model.metadata_props.add()
    entry.key = LAYOUT_KEY
    entry.value = msgspec.json.encode(layout).decode()
    return model.SerializeToString(deterministic=True)
