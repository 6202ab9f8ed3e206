"""Saves ONNX models with MLflow, and writes what MLflow's own scoring code answers to requests.

Usage: exchanges.py FOLDER. Each model is a folder in it; FOLDER/exchanges.json is a list of
{model, content_type, body, status, answer}.
"""

import json
import sys
from pathlib import Path

import mlflow
import numpy as np
import onnx
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature, infer_signature
from mlflow.pyfunc.scoring_server import invocations
from mlflow.types import ColSpec, DataType, Schema
from onnx import TensorProto, helper
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestRegressor
from skl2onnx import to_onnx

FLOAT, DOUBLE, INT64, STRING = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.STRING


def value(name, element, shape):
    return helper.make_tensor_value_info(name, element, shape)


def graph(inputs, outputs, nodes):
    made = helper.make_model(
        helper.make_graph(nodes, "graph", inputs, outputs), opset_imports=[helper.make_opsetid("", 13)]
    )
    made.ir_version = 8
    onnx.checker.check_model(made)
    return made


def iris_columns():
    """A regressor with one matrix input; its signature names four double columns."""
    X, y = load_iris(return_X_y=True, as_frame=True)
    model = RandomForestRegressor(5, max_depth=3, random_state=0).fit(X.to_numpy(np.float32), y)
    made = to_onnx(model, X.to_numpy(np.float32)[:1], target_opset=15)
    return made, infer_signature(X, y.to_frame("variable"))


def numeric_columns():
    """One ONNX input for each column, and an optional column that the graph does not take."""
    inputs = [value("a", DOUBLE, ["n"]), value("b", INT64, ["n"])]
    nodes = [helper.make_node("Cast", ["b"], ["b_double"], to=DOUBLE), helper.make_node("Add", ["a", "b_double"], ["sum"])]
    columns = [
        ColSpec(DataType.double, "a"),
        ColSpec(DataType.long, "b"),
        ColSpec(DataType.double, "note", required=False),
    ]
    return graph(inputs, [value("sum", DOUBLE, ["n"])], nodes), ModelSignature(inputs=Schema(columns))


def text_column():
    """MLflow hands text to onnxruntime in a form it takes only when it comes from CSV (pandas 3)."""
    inputs = [value("s", STRING, ["n"]), value("b", INT64, ["n"])]
    outputs = [value("text", STRING, ["n"]), value("number", INT64, ["n"])]
    nodes = [helper.make_node("Identity", ["s"], ["text"]), helper.make_node("Neg", ["b"], ["number"])]
    columns = [ColSpec(DataType.string, "s"), ColSpec(DataType.long, "b")]
    return graph(inputs, outputs, nodes), ModelSignature(inputs=Schema(columns))


def unnamed_tensor():
    inputs = [value("x", FLOAT, ["n", 3])]
    outputs = [value("y", FLOAT, ["n", 3]), value("top", FLOAT, ["n", 1])]
    nodes = [helper.make_node("Neg", ["x"], ["y"]), helper.make_node("ReduceMax", ["x"], ["top"], axes=[1], keepdims=1)]
    example = np.zeros((2, 3), np.float32)
    return graph(inputs, outputs, nodes), infer_signature(example, example)


def named_tensors():
    inputs = [value("image", FLOAT, ["n", 2, 2]), value("count", INT64, ["n"])]
    outputs = [value("image_out", FLOAT, ["n", 2, 2]), value("count_out", INT64, ["n"])]
    nodes = [
        helper.make_node("Neg", ["image"], ["image_out"]),
        helper.make_node("Neg", ["count"], ["count_out"]),
    ]
    example = {"image": np.zeros((1, 2, 2), np.float32), "count": np.zeros(1, np.int64)}
    return graph(inputs, outputs, nodes), infer_signature(example, example)


def unsigned():
    """Without a signature."""
    node = helper.make_node("ReduceMax", ["x"], ["y"], axes=[1], keepdims=1)
    return graph([value("x", FLOAT, ["n", 2])], [value("y", FLOAT, ["n", 1])], [node]), None


IRIS = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]
ROWS = [[6.3, 3.4, 5.6, 2.4], [5.1, 3.5, 1.4, 0.2]]
RECORDS = [dict(zip(IRIS, row)) for row in ROWS]
SHUFFLED = [dict(reversed(record.items())) for record in RECORDS]


def csv(columns, rows):
    return pd.DataFrame(rows, columns=columns).to_csv(index=False)


# model, content type, body
REQUESTS = [
    ("iris_columns", "application/json", {"dataframe_split": {"columns": IRIS, "data": ROWS}}),
    ("iris_columns", "application/json", {"dataframe_split": {"columns": IRIS, "index": [7, 9], "data": ROWS}}),
    ("iris_columns", "application/json", {"dataframe_records": SHUFFLED}),
    ("iris_columns", "application/json", {"dataframe_records": [{**RECORDS[0], "extra": 1}]}),
    ("iris_columns", "application/json", {"dataframe_records": [dict(zip(IRIS, [6, 3, 5, 2]))]}),
    ("iris_columns", "application/json", {"instances": RECORDS}),
    ("iris_columns", "application/json", {"inputs": {name: [row[i] for row in ROWS] for i, name in enumerate(IRIS)}}),
    ("iris_columns", "application/json; charset=utf-8", {"dataframe_split": {"columns": IRIS, "data": ROWS}}),
    ("iris_columns", "text/csv", csv(IRIS, ROWS)),
    ("iris_columns", "application/json", {"dataframe_records": [{IRIS[0]: 1.0}]}),
    ("iris_columns", "application/json", {"dataframe_records": [{**RECORDS[0], IRIS[0]: "long"}]}),
    ("iris_columns", "application/json", {"dataframe_split": {"columns": IRIS}}),
    ("iris_columns", "application/json", {"dataframe_records": {}}),
    ("iris_columns", "application/json", {"columns": IRIS, "data": ROWS}),
    ("iris_columns", "application/json", {"instances": ROWS, "inputs": ROWS}),
    ("iris_columns", "application/json", ROWS),
    ("iris_columns", "application/json", "{"),
    ("iris_columns", "application/json; charset=latin-1", "{}"),
    ("iris_columns", "text/plain", "1,2"),
    ("numeric_columns", "application/json", {"dataframe_split": {"columns": ["a", "b"], "data": [[1.5, 1], [2.5, 2]]}}),
    ("numeric_columns", "application/json", {"dataframe_records": [{"a": 1, "b": 2}, {"a": None, "b": 3}]}),
    ("numeric_columns", "application/json", {"dataframe_records": [{"a": 1.5, "b": 2, "note": 4.0}]}),
    ("numeric_columns", "application/json", {"inputs": {"a": [1.5, 2], "b": [1, 2]}}),
    ("numeric_columns", "application/json", {"inputs": {"a": 1.5, "b": 1}}),
    ("numeric_columns", "application/json", {"dataframe_records": [{"a": 1.5, "b": None}]}),
    ("numeric_columns", "text/csv", csv(["b", "a"], [[2, None], [3, 2.5]])),
    ("text_column", "text/csv", csv(["b", "s"], [[2, 'x, "y"'], [3, "two\nlines"], [4, "é"]])),
    ("unnamed_tensor", "application/json", {"inputs": [[1, 2, 3], [4, 5, 6.5]]}),
    ("unnamed_tensor", "application/json", {"instances": [[1.0, 2.0, 3.0]]}),
    ("unnamed_tensor", "application/json", {"dataframe_split": {"columns": ["p", "q", "r"], "data": [[1.0, 2.0, 3.0]]}}),
    ("unnamed_tensor", "application/json", {"inputs": [[1.0, 2.0]]}),
    ("named_tensors", "application/json", {"inputs": {"image": [[[1.5, 2], [3, 4]]], "count": [9007199254740993]}}),
    ("named_tensors", "application/json", {"instances": [{"image": [[1, 2], [3, 4]], "count": 1}, {"image": [[5, 6], [7, 8]], "count": 2}]}),
    ("named_tensors", "application/json", {"dataframe_records": [{"image": [1, 2, 3, 4], "count": 1}]}),
    ("named_tensors", "application/json", {"inputs": {"count": [1]}}),
    ("unsigned", "application/json", {"dataframe_split": {"columns": ["p", "q"], "data": [[1.0, 2.0], [3.0, 4.0]]}}),
    ("unsigned", "application/json", {"inputs": {"x": [[1.0, 2.0]]}}),
    ("unsigned", "application/json", {"inputs": [[1.0, 2.0]]}),
]


def exchange(model, name, content_type, body):
    text = body if isinstance(body, str) else json.dumps(body)
    try:
        done = invocations(text.encode(), content_type, model, model.metadata.get_input_schema())
        status, answer = done.status, done.response
    except MlflowException as error:
        status, answer = error.get_http_status_code(), error.serialize_as_json()
    return {"model": name, "content_type": content_type, "body": text, "status": status, "answer": answer}


def main(folder):
    made = {}
    for make in (iris_columns, numeric_columns, text_column, unnamed_tensor, named_tensors, unsigned):
        onnx_model, signature = make()
        path = str(folder / make.__name__)
        mlflow.onnx.save_model(onnx_model, path, signature=signature, pip_requirements=[])
        made[make.__name__] = mlflow.pyfunc.load_model(path)
    exchanges = [exchange(made[name], name, content_type, body) for name, content_type, body in REQUESTS]
    (folder / "exchanges.json").write_text(json.dumps(exchanges, indent=1))


main(Path(sys.argv[1]))
