"""Optimized graphs of training steps."""

from __future__ import annotations

from tensorflow.python.eager import context

_WRITES = ("AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp")


def unordered_accesses(step):
    """Runs `step()` and returns reads that may run before or after a write.

    Graph optimization can remove the control dependency between the read and the write
    of a variable. The value that is read then depends on the timing of threads.

    Args:
        step: Function without arguments that calls a new `tf.function`.

    Returns:
        List of pairs of names, a read and a write of the same variable.
    """
    context.enable_graph_collection()
    try:
        step()
        metadata = context.export_run_metadata()
    finally:
        context.disable_graph_collection()
    graphs = [entry.post_optimization_graph for entry in metadata.function_graphs]
    return [pair for graph in graphs for pair in _unordered(graph)]


def _unordered(graph):
    nodes = {node.name: node for node in graph.node}
    writes = [node for node in graph.node if node.op in _WRITES]
    reads = [node for node in graph.node if node.op == "ReadVariableOp"]
    before = {node.name: _ancestors(node, nodes) for node in (*reads, *writes)}
    return [
        (read.name, write.name)
        for read in reads
        for write in writes
        if read.input[0] == write.input[0]
        and read.name not in before[write.name]
        and write.name not in before[read.name]
    ]


def _ancestors(node, nodes):
    found, stack = set(), [node]
    while stack:
        for edge in stack.pop().input:
            name = edge.lstrip("^").split(":")[0]
            if name in nodes and name not in found:
                found.add(name)
                stack.append(nodes[name])
    return found
