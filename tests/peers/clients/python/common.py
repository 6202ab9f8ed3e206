"""What the HTTP and the gRPC client must both do, each in its own form."""

import numpy as np
from checks import check, equal, same_array
from tensors import HALF, IRIS, NOT_FINITE, NOT_TEXT, REFERENCE, datatype_of, output_of


class Peer:
    """One client library: its module, a client, and how it shows statuses and messages."""

    def __init__(self, name, module, client, statuses, as_json):
        self.name = name
        self.module = module
        self.client = client
        self.statuses = statuses
        #: Arguments that make the gRPC client answer with dictionaries, as the HTTP client does.
        self.as_json = as_json

    def input(self, name, array, **how):
        tensor = self.module.InferInput(name, list(array.shape), datatype_of(array))
        tensor.set_data_from_numpy(array, **how)
        return tensor

    def echo(self, array, **more):
        result = self.client.infer("echo", [self.input("x", array)], **more)
        return result.as_numpy("x")

    def reference(self, how=None, **more):
        inputs = [self.input(name, array, **(how or {})) for name, array in REFERENCE.items()]
        return self.client.infer("v2_identity", inputs, **more)

    def iris(self, rows=IRIS, **more):
        return self.client.infer("iris", [self.input("X", rows)], **more)

    def output(self, name, **how):
        return self.module.InferRequestedOutput(name, **how)


def register(peer):
    health(peer)
    descriptions(peer)
    tensors(peer)
    names(peer)


def health(peer):
    client = peer.client

    @check(f"{peer.name}: live and ready")
    def _():
        equal((client.is_server_live(), client.is_server_ready()), (True, True))

    @check(f"{peer.name}: models that are ready, and those that are not")
    def _():
        equal(client.is_model_ready("iris"), True, "iris")
        equal(client.is_model_ready("iris", "1"), True, "iris version 1")
        equal(client.is_model_ready("iris", "99"), False, "iris version 99")
        equal(client.is_model_ready("nobody"), False, "an unknown model")
        equal(client.is_model_ready("broken"), False, "a model that did not load")


def descriptions(peer):
    client, as_json = peer.client, peer.as_json

    @check(f"{peer.name}: server metadata")
    def _():
        metadata = client.get_server_metadata(**as_json)
        equal(metadata["name"], "capstan")
        extensions = ["binary_tensor_data", "model_repository", "model_configuration", "statistics"]
        equal(set(extensions) - set(metadata["extensions"]), set(), "extensions that are not named")

    @check(f"{peer.name}: model metadata")
    def _():
        metadata = client.get_model_metadata("iris", **as_json)
        equal((metadata["name"], metadata["versions"]), ("iris", ["1"]))
        equal(metadata["platform"], "onnxruntime_onnx")
        [given] = metadata["inputs"]
        shape = [int(size) for size in given["shape"]]
        equal((given["name"], given["datatype"], shape), ("X", "FP32", [-1, 4]))

    @check(f"{peer.name}: model configuration")
    def _():
        config = client.get_model_config("iris", **as_json)
        config = config.get("config", config)
        equal((config["name"], config["backend"]), ("iris", "onnx"))
        [given] = config["input"]
        dims = [int(size) for size in given["dims"]]
        equal((given["name"], given["data_type"], dims), ("X", "TYPE_FP32", [-1, 4]))

    @check(f"{peer.name}: statistics count what was inferred")
    def _():
        before, after = counts(), None
        for _ in range(3):
            peer.iris()
        after = counts()
        equal([b - a for a, b in zip(before, after)], [6, 3, 3], "rows, runs, requests")
        names = {model["name"] for model in client.get_inference_statistics(**as_json)["model_stats"]}
        equal({"iris", "v2_identity"} - names, set(), "models without statistics")

    def counts():
        [stats] = client.get_inference_statistics("iris", **as_json)["model_stats"]
        success = stats.get("inference_stats", {}).get("success", {}).get("count", 0)
        return [int(stats.get(key, 0)) for key in ("inference_count", "execution_count")] + [int(success)]


def tensors(peer):
    @check(f"{peer.name}: all inputs of the reference model at once")
    def _():
        result = peer.reference()
        equal(len(result.get_response()["outputs"] if peer.name == "http" else result.get_response().outputs), 13)

    for name, array in REFERENCE.items():

        @check(f"{peer.name}: {name} in the default form")
        def _(name=name, array=array):
            same_array(peer.reference().as_numpy(output_of(name)), array, name)

    @check(f"{peer.name}: FP16 through ONNX")
    def _():
        result = peer.client.infer("v2_identity_fp16", [peer.input("in_fp16", HALF)])
        same_array(result.as_numpy("out_fp16"), HALF)

    for datatype, array in NOT_FINITE.items():

        @check(f"{peer.name}: {datatype} with NaN and infinities")
        def _(array=array):
            same_array(peer.echo(array), array)

    @check(f"{peer.name}: BYTES that are not text")
    def _():
        same_array(peer.echo(NOT_TEXT), NOT_TEXT)

    @check(f"{peer.name}: numpy's own byte strings")
    def _():
        fixed = np.array([[b"one", b"three"]])
        same_array(peer.echo(fixed), fixed.astype(np.object_))

    for datatype in (np.float32, np.int64, np.object_):

        @check(f"{peer.name}: an empty {np.dtype(datatype)} tensor")
        def _(datatype=datatype):
            empty = np.zeros((0, 3), dtype=datatype)
            same_array(peer.echo(empty), empty)

    @check(f"{peer.name}: a tensor of 8 MB")
    def _():
        large = np.random.default_rng(1).random((1000, 1000))
        same_array(peer.echo(large), large)


def names(peer):
    @check(f"{peer.name}: outputs in the order asked for")
    def _():
        wanted = ["out_int64", "out_bytes", "out_bool"]
        result = peer.reference(outputs=[peer.output(name) for name in wanted])
        response = result.get_response()
        outputs = response["outputs"] if peer.name == "http" else response.outputs
        equal([output["name"] if peer.name == "http" else output.name for output in outputs], wanted)
        same_array(result.as_numpy("out_bytes"), REFERENCE["in_bytes"])
        equal(result.as_numpy("out_fp32"), None, "an output that was not asked for")

    @check(f"{peer.name}: request id and version")
    def _():
        response = peer.iris(request_id="my ✓ request", model_version="1").get_response()
        get = response.get if peer.name == "http" else lambda name: getattr(response, name)
        equal((get("id"), get("model_name"), get("model_version")), ("my ✓ request", "iris", "1"))

    @check(f"{peer.name}: priority, time-out, sequence and parameters of one's own")
    def _():
        more = {"sequence_id": 7, "sequence_start": True, "sequence_end": True, "priority": 1}
        result = peer.iris(timeout=60_000_000, parameters={"mine": "text", "flag": True, "n": 3}, **more)
        equal(result.as_numpy("label").shape, (2,))

    @check(f"{peer.name}: an unmodified sample answers as its reference does")
    def _():
        equal(list(peer.iris().as_numpy("label")), [2, 0])
