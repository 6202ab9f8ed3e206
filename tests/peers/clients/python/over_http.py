"""What only the HTTP client does: JSON tensors, compression, greenlets."""

import tritonclient.http as httpclient
from checks import check, equal, refused, same_array
from tensors import HALF, IRIS, NOT_TEXT, REFERENCE, output_of


def register(peer):
    json_form(peer)
    compression(peer)
    others(peer)


def json_form(peer):
    as_json = {"binary_data": False}

    def json_outputs():
        return [peer.output(output_of(name), **as_json) for name in REFERENCE]

    for name, array in REFERENCE.items():

        @check(f"http: {name} as JSON both ways")
        def _(name=name, array=array):
            result = peer.reference(how=as_json, outputs=json_outputs())
            equal(result.get_response()["outputs"][0].get("parameters"), None, "parameters of a JSON output")
            same_array(result.as_numpy(output_of(name)), array, name)

    @check("http: FP16 as JSON both ways")
    def _():
        outputs = [peer.output("out_fp16", **as_json)]
        result = peer.client.infer("v2_identity_fp16", [peer.input("in_fp16", HALF, **as_json)], outputs=outputs)
        same_array(result.as_numpy("out_fp16"), HALF)

    @check("http: JSON in, binary out, and the other way round")
    def _():
        same_array(peer.reference(how=as_json).as_numpy("out_int64"), REFERENCE["in_int64"])
        result = peer.reference(outputs=json_outputs())
        same_array(result.as_numpy("out_uint64"), REFERENCE["in_uint64"])

    @check("http: outputs of one answer in both forms")
    def _():
        outputs = [peer.output("out_bytes"), peer.output("out_fp64", **as_json), peer.output("out_fp32")]
        result = peer.reference(outputs=outputs)
        for name in ("in_bytes", "in_fp64", "in_fp32"):
            same_array(result.as_numpy(output_of(name)), REFERENCE[name], name)

    @check("http: inputs of one request in both forms")
    def _():
        how = lambda index: as_json if index % 2 else {}
        inputs = [peer.input(name, array, **how(i)) for i, (name, array) in enumerate(REFERENCE.items())]
        result = peer.client.infer("v2_identity", inputs)
        for name, array in REFERENCE.items():
            same_array(result.as_numpy(output_of(name)), array, name)


def compression(peer):
    for coding in ("gzip", "deflate"):

        @check(f"http: {coding} both ways")
        def _(coding=coding):
            how = {"request_compression_algorithm": coding, "response_compression_algorithm": coding}
            same_array(peer.reference(**how).as_numpy("out_bytes"), REFERENCE["in_bytes"])
            rows = IRIS.repeat(500, axis=0)
            equal(peer.iris(rows, **how).as_numpy("label").shape, (1000,))

        @check(f"http: {coding} one way")
        def _(coding=coding):
            rows = IRIS.repeat(500, axis=0)
            wanted = peer.iris(rows).as_numpy("label")
            same_array(peer.iris(rows, request_compression_algorithm=coding).as_numpy("label"), wanted)
            same_array(peer.iris(rows, response_compression_algorithm=coding).as_numpy("label"), wanted)

        @check(f"http: {coding} with JSON")
        def _(coding=coding):
            how = {"request_compression_algorithm": coding, "response_compression_algorithm": coding}
            outputs = [peer.output(output_of(name), binary_data=False) for name in REFERENCE]
            result = peer.reference(how={"binary_data": False}, outputs=outputs, **how)
            same_array(result.as_numpy("out_bytes"), REFERENCE["in_bytes"])


def others(peer):
    client = peer.client

    @check("http: async_infer, several at once")
    def _():
        inputs = [peer.input("X", IRIS)]
        pending = [client.async_infer("iris", inputs, request_id=str(i)) for i in range(16)]
        results = [each.get_result() for each in pending]
        equal([each.get_response()["id"] for each in results], [str(i) for i in range(16)])
        equal([list(each.as_numpy("label")) for each in results], [[2, 0]] * 16)

    @check("http: async_infer of an unknown model")
    def _():
        pending = client.async_infer("nobody", [peer.input("X", IRIS)])
        refused(pending.get_result, "404", "'nobody'")

    @check("http: a body made and an answer read apart from the client")
    def _():
        inputs = [peer.input("x", NOT_TEXT)]
        body, length = httpclient.InferenceServerClient.generate_request_body(inputs)
        headers = {"Inference-Header-Content-Length": length}
        response = client._post("v2/models/echo/infer", body, headers, None)
        read = httpclient.InferenceServerClient.parse_response_body
        header_length = int(response.get("Inference-Header-Content-Length"))
        same_array(read(response.read(), header_length=header_length).as_numpy("x"), NOT_TEXT)

    @check("http: log and trace settings are refused with a message")
    def _():
        refused(lambda: client.get_log_settings(), "404", "/v2/logging")
        refused(lambda: client.update_log_settings({"log_info": True}), "404", "/v2/logging")
        refused(lambda: client.get_trace_settings(), "404", "/v2/trace/setting")
        refused(lambda: client.get_trace_settings("iris"), "404", "/v2/models/iris/trace/setting")
