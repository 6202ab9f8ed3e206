"""The conformance suite's reference model: every input in_* is given back as out_*."""

import json

import triton_python_backend_utils as pb


class TritonPythonModel:
    def initialize(self, args):
        self.inputs = [tensor["name"] for tensor in json.loads(args["model_config"])["input"]]

    def execute(self, requests):
        return [pb.InferenceResponse([self.copy(request, name) for name in self.inputs]) for request in requests]

    def copy(self, request, name):
        array = pb.get_input_tensor_by_name(request, name).as_numpy()
        return pb.Tensor("out_" + name.removeprefix("in_"), array)
