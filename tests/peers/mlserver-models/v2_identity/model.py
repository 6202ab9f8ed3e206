"""The conformance suite's reference model: every input in_* is given back as out_*."""

from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.errors import InferenceError
from mlserver.types import InferenceRequest, InferenceResponse, RequestInput, ResponseOutput


class V2Identity(MLModel):
    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        outputs = [self.copy(tensor) for tensor in payload.inputs]
        return InferenceResponse(
            model_name=self.name, model_version=self.version, id=payload.id, outputs=self.asked(payload, outputs)
        )

    def copy(self, tensor: RequestInput) -> ResponseOutput:
        codec = StringCodec if tensor.datatype == "BYTES" else NumpyCodec
        output = codec.encode_output("out_" + tensor.name.removeprefix("in_"), codec.decode_input(tensor))
        output.shape = tensor.shape
        return output

    def asked(self, payload: InferenceRequest, outputs: list[ResponseOutput]) -> list[ResponseOutput]:
        """The runtimes of the framework choose the outputs themselves, so this one does too."""
        if not payload.outputs:
            return outputs
        known = {output.name: output for output in outputs}
        for output in payload.outputs:
            if output.name not in known:
                raise InferenceError(f"Output '{output.name}' is unknown")
        return [known[output.name] for output in payload.outputs]
