"""One response per word of text_input."""

import time

import numpy as np
import triton_python_backend_utils as pb

SECONDS_PER_WORD = 0.02


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            text = pb.get_input_tensor_by_name(request, "text_input").as_numpy()[0].decode()
            for word in text.split():
                output = pb.Tensor("text_output", np.array([word.encode()], dtype=object))
                sender.send(pb.InferenceResponse([output]))
                time.sleep(SECONDS_PER_WORD)
            sender.send(flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
