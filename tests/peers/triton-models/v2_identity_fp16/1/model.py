"""The conformance suite's reference model of FP16: in_fp16 is given back as out_fp16."""

import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        inputs = (pb.get_input_tensor_by_name(request, "in_fp16").as_numpy() for request in requests)
        return [pb.InferenceResponse([pb.Tensor("out_fp16", half)]) for half in inputs]
