"""Limits of size: a module has at most 600 lines, a function at most 50."""

import ast
import sys
from pathlib import Path

MODULE_LINES = 600
FUNCTION_LINES = 50

too_long = []
for file in sorted(Path("wrenlite").rglob("*.py")):
    text = file.read_text()
    lines = text.count("\n")
    if lines > MODULE_LINES:
        too_long.append(f"{file}: {lines} lines; at most {MODULE_LINES}")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                too_long.append(
                    f"{file}:{node.lineno}: {node.name} has {length} lines; at most {FUNCTION_LINES}"
                )
print("\n".join(too_long) or "sizes are within their limits")
sys.exit(bool(too_long))
