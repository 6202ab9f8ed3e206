"""An ONNX model in Triton's Python backend, on one thread."""

from pathlib import Path

import onnxruntime
import triton_python_backend_utils as pb


class TritonPythonModel:
    def initialize(self, args):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(Path(__file__).parent / "model.onnx"), options)
        self.names = [output.name for output in self.session.get_outputs()]

    def execute(self, requests):
        return [pb.InferenceResponse(self.infer(request)) for request in requests]

    def infer(self, request):
        rows = pb.get_input_tensor_by_name(request, "X").as_numpy()
        return [pb.Tensor(name, result) for name, result in zip(self.names, self.session.run(self.names, {"X": rows}))]
