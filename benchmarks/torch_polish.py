"""What a careful PyTorch user does: logits to the loss, padding in convolutions, work in place.

Each function changes the graph of a mirror; the computation stays the same.
"""

from __future__ import annotations

import operator
from typing import Any

from torch import fx, nn

HEADS: dict[type, str] = {nn.Softmax: "softmax", nn.LogSoftmax: "softmax",
                                     nn.Sigmoid: "sigmoid"}
CONVS = (nn.Conv1d, nn.Conv2d)
OVERWRITABLE = (*CONVS, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, nn.MaxPool1d, nn.MaxPool2d,
                nn.AvgPool1d, nn.AvgPool2d)
"""Modules whose backward does not read their output."""


def module_of(root: nn.Module, node: object) -> Any:
    """Return the module that a node calls, None for other nodes."""
    if not isinstance(node, fx.Node) or node.op != "call_module":
        return None
    return root.get_submodule(str(node.target))


def drop_head(root: nn.Module, graph: fx.Graph) -> str | None:
    """Take off the activation that the loss computes from logits; return what it is called."""
    output = graph.output_node()
    last = output.args[0]
    head = HEADS.get(type(module_of(root, last)))
    if head and isinstance(last, fx.Node):
        output.args = (last.args[0],)
        graph.erase_node(last)
    return head


def fold_padding(root: nn.Module, graph: fx.Graph) -> None:
    """Let a convolution add equal zeros around its input itself."""
    for node in list(graph.nodes):
        conv = module_of(root, node)
        if not isinstance(conv, CONVS):
            continue
        pad = node.args[0]
        before = module_of(root, pad)
        if not isinstance(before, nn.ZeroPad2d | nn.ConstantPad1d) or len(pad.users) > 1:
            continue
        pads: Any = before.padding
        ahead, behind = pads[::2][::-1], pads[1::2][::-1]
        if ahead == behind:
            conv.padding = tuple(p + a for p, a in zip(conv.padding, ahead, strict=True))
            node.args = (pad.args[0],)
            graph.erase_node(pad)


def work_in_place(root: nn.Module, graph: fx.Graph) -> None:
    """Let ReLU and addition write over an input that nothing else needs, as torchvision does."""
    for node in graph.nodes:
        module = module_of(root, node)
        if isinstance(module, nn.ReLU | nn.ReLU6 | nn.LeakyReLU | nn.ELU):
            module.inplace = _free(root, node.args[0])
        if node.op == "call_function" and node.target is operator.add:
            a, b = node.args
            if _free(root, a) or _free(root, b):
                node.args = (a, b) if _free(root, a) else (b, a)
                node.op, node.target = "call_method", "add_"


def _free(root: nn.Module, x: object) -> bool:
    """Say whether a value may be overwritten by its only user."""
    if not isinstance(x, fx.Node) or len(x.users) != 1:
        return False
    return x.target in (operator.add, "add_") or isinstance(module_of(root, x), OVERWRITABLE)
