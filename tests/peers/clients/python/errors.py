"""What both clients are refused, and how they are told."""

import numpy as np
from checks import check, refused
from tensors import IRIS


def register(peer):
    client, statuses = peer.client, peer.statuses

    @check(f"{peer.name}: unknown models and versions")
    def _():
        unknown = lambda: client.infer("nobody", [peer.input("X", IRIS)])
        refused(unknown, statuses["NOT_FOUND"], "Model 'nobody' is not found")
        refused(lambda: peer.iris(model_version="99"), statuses["NOT_FOUND"], "version '99'", "it has 1")
        refused(lambda: client.get_model_metadata("nobody"), statuses["NOT_FOUND"], "'nobody'")
        refused(lambda: client.get_model_config("nobody"), statuses["NOT_FOUND"], "'nobody'")
        refused(lambda: client.get_inference_statistics("nobody"), statuses["NOT_FOUND"], "'nobody'")

    @check(f"{peer.name}: inputs that do not fit")
    def _():
        wrong = lambda name, array: lambda: client.infer("iris", [peer.input(name, array)])
        bad = statuses["INVALID_ARGUMENT"]
        refused(wrong("Y", IRIS), bad, "'Y' is not one of the model's: 'X'")
        refused(wrong("X", IRIS.astype(np.float64)), bad, "FP64", "FP32")
        refused(wrong("X", IRIS[:, :3]), bad, "[2,3]", "[-1,4]")
        refused(wrong("X", IRIS[0]), bad, "[4]", "[-1,4]")

    @check(f"{peer.name}: an output that is not there")
    def _():
        asked = lambda: peer.iris(outputs=[peer.output("nothing")])
        refused(asked, statuses["INVALID_ARGUMENT"], "'nothing' is not one of the model's")

    @check(f"{peer.name}: a model that did not load")
    def _():
        asked = lambda: client.infer("broken", [peer.input("X", IRIS)])
        refused(asked, statuses["NOT_READY"], "'broken' is not ready")

    @check(f"{peer.name}: the request's own time-out")
    def _():
        asked = lambda: client.infer("waits", [peer.input("x", IRIS)], timeout=50_000)
        refused(asked, statuses["DEADLINE_EXCEEDED"], "deadline of 50 ms passed")

    unsupported = statuses["UNSUPPORTED"]

    @check(f"{peer.name}: tensors in shared memory")
    def _():
        tensor = peer.module.InferInput("X", [1, 4], "FP32")
        tensor.set_shared_memory("region", 16)
        refused(lambda: client.infer("iris", [tensor]), unsupported, "'X'", "shared memory")

    @check(f"{peer.name}: system shared memory is refused")
    def _():
        refused(lambda: client.get_system_shared_memory_status(), unsupported, "shared memory")
        refused(lambda: client.register_system_shared_memory("r", "/r", 8), unsupported, "shared memory")
        refused(lambda: client.unregister_system_shared_memory("r"), unsupported, "shared memory")
        refused(lambda: client.unregister_system_shared_memory(), unsupported, "shared memory")

    @check(f"{peer.name}: CUDA shared memory is refused")
    def _():
        refused(lambda: client.get_cuda_shared_memory_status(), unsupported, "shared memory")
        register = lambda: client.register_cuda_shared_memory("r", b"AAAA", 0, 8)
        refused(register, unsupported, "shared memory")
        refused(lambda: client.unregister_cuda_shared_memory("r"), unsupported, "shared memory")
