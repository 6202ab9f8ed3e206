"""Prints every field of a manifest that KServe's API does not have.

Usage: kserve_fields.py WHEEL CLASS FILE. The wheel of the `kserve` package is read and not installed: its models are
classes generated from the API, with a table of fields and one of types.
"""

import ast
import re
import sys
import zipfile

import yaml

TABLES = ("openapi_types", "attribute_map")


def fields(wheel, name):
    """Field -> type of a model, None for a type that is not KServe's own."""
    path = f"kserve/models/{re.sub(r'(?<!^)(?=[A-Z])', '_', name).lower()}.py"
    if path not in wheel.namelist():
        return None
    tables = {}
    for node in ast.walk(ast.parse(wheel.read(path))):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) in TABLES:
            tables[node.targets[0].id] = ast.literal_eval(node.value)
    types, names = (tables[table] for table in TABLES)
    return {names[attribute]: types[attribute] for attribute in names}


def unknown(wheel, name, value, where):
    items = re.fullmatch(r"list\[(.*)\]", name)
    if items:
        for index, item in enumerate(value):
            yield from unknown(wheel, items[1], item, f"{where}[{index}]")
        return
    known = fields(wheel, name)
    if known is None:
        return
    for field, inner in value.items():
        if field in known:
            yield from unknown(wheel, known[field], inner, f"{where}.{field}")
        else:
            yield f"{where}.{field}"


with zipfile.ZipFile(sys.argv[1]) as archive, open(sys.argv[3]) as file:
    if fields(archive, sys.argv[2]) is None:
        sys.exit(f"{sys.argv[1]} has no {sys.argv[2]}")
    print("\n".join(unknown(archive, sys.argv[2], yaml.safe_load(file), "")), end="")
