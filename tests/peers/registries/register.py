"""Registers ONNX models with MLflow's own client, and moves aliases and stages.

Usage: register.py URL make            two versions of `scaled`, y = 1x and y = 2x; prints their ids as JSON
       register.py URL alias NAME VERSION
       register.py URL stage NAME VERSION
       register.py URL source URI      one more version whose artifacts are at URI
"""

import json
import sys

import mlflow
import numpy as np
from mlflow.models import infer_signature
from onnx import TensorProto, helper

MODEL = "scaled"


def scaled(factor):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])
    by = helper.make_tensor("by", TensorProto.FLOAT, [1], [factor])
    graph = helper.make_graph([helper.make_node("Mul", ["x", "by"], ["y"])], "scaled", [x], [y], [by])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    made.ir_version = 8
    return made


def make():
    example = np.ones((1, 2), np.float32)
    ids = []
    for factor in (1, 2):
        with mlflow.start_run() as run:
            info = mlflow.onnx.log_model(
                scaled(factor),
                name="model",
                registered_model_name=MODEL,
                signature=infer_signature(example, example),
                pip_requirements=[],
            )
            mlflow.log_dict({"factor": factor}, "notes/factor.json")
            ids.append({"run": run.info.run_id, "model": info.model_id})
    print(json.dumps(ids))


def main(url, what, *given):
    mlflow.set_tracking_uri(url)
    client = mlflow.MlflowClient()
    if what == "make":
        make()
    elif what == "alias":
        client.set_registered_model_alias(MODEL, *given)
    elif what == "stage":
        name, version = given
        client.transition_model_version_stage(MODEL, version, name, archive_existing_versions=True)
    elif what == "source":
        client.create_model_version(MODEL, given[0])


main(*sys.argv[1:])
