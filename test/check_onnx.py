"""Checks an ONNX file: python3 check_onnx.py FILE. Prints what was checked: "full" or "structure".

full: onnx's own checker with strict shape inference. structure: for an onnx older than operator set 21, whose checker
refuses the file; every name is made once, before its use, and operators whose definition did not change since are
checked one by one.
"""
import sys

import onnx
from onnx import checker, helper, shape_inference

OPSET = 21
# Operators whose operands or attributes changed between operator sets 17 and 21, or that came in between.
CHANGED = {"Gelu", "Split", "Pad", "Reshape", "Cast", "Resize", "ScatterElements", "ScatterND"}

model = onnx.load(sys.argv[1])
graph = model.graph
assert [o.version for o in model.opset_import if o.domain == ""] == [OPSET]
if onnx.defs.onnx_opset_version() >= OPSET:
    checker.check_model(model, full_check=True)
    inferred = shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    assert len(inferred.graph.output) == len(graph.output)
    print("full")
else:
    context = checker.C.CheckerContext()
    context.ir_version = onnx.IR_VERSION
    context.opset_imports = {"": onnx.defs.onnx_opset_version(), "com.microsoft": 1}
    known = {v.name for v in graph.input} | {t.name for t in graph.initializer}
    for node in graph.node:
        for name in node.input:
            assert name == "" or name in known, f"{node.name} reads {name} before it is made"
        for name in node.output:
            assert name not in known, f"{name} is made twice"
            if name:
                known.add(name)
        if not node.domain and node.op_type not in CHANGED and not node.op_type.startswith("Reduce"):
            checker.check_node(node, context)
    assert all(v.name in known for v in graph.output)
    for value in list(graph.input) + list(graph.output):
        assert all(d.dim_value > 0 for d in value.type.tensor_type.shape.dim), value.name
    print("structure")
