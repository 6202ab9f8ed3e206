"""The model repository, as both clients see it."""

import json

from checks import check, contains, equal, refused


def register(peer):
    client, as_json = peer.client, peer.as_json

    def states():
        index = client.get_model_repository_index(**as_json)
        return {model["name"]: model for model in (index.get("models", []) if as_json else index)}

    @check(f"{peer.name}: the repository index")
    def _():
        given = states()
        equal((given["iris"]["state"], given["iris"]["version"]), ("READY", "1"))
        equal(given["broken"]["state"], "UNAVAILABLE")
        contains(given["broken"]["reason"], "model.onnx")

    @check(f"{peer.name}: unload and load")
    def _():
        client.unload_model("churn")
        equal((client.is_model_ready("churn"), states()["churn"]["state"]), (False, "UNAVAILABLE"))
        refused(lambda: client.get_model_metadata("churn"), peer.statuses["NOT_READY"], "unloaded")
        client.load_model("churn")
        equal((client.is_model_ready("churn"), states()["churn"]["state"]), (True, "READY"))

    def batch_size():
        config = client.get_model_config("churn", **as_json)
        return int(config.get("config", config).get("max_batch_size", 0))

    @check(f"{peer.name}: load with a config, and without it again")
    def _():
        first = batch_size()
        client.load_model("churn", config=json.dumps({"max_batch_size": first + 8}))
        equal(batch_size(), first + 8)
        client.load_model("churn")
        equal(batch_size(), first)

    @check(f"{peer.name}: a config may not bring other code")
    def _():
        config = json.dumps({"implementation": "./evil.ts"})
        load = lambda: client.load_model("churn", config=config)
        refused(load, peer.statuses["PERMISSION_DENIED"], "may not change 'implementation'")
        equal(client.is_model_ready("churn"), True)

    @check(f"{peer.name}: a load call may not bring the model along")
    def _():
        load = lambda: client.load_model("churn", config="{}", files={"file:1/model.onnx": b"bytes"})
        refused(load, peer.statuses["UNSUPPORTED"], "file:1/model.onnx", "repository")

    @check(f"{peer.name}: loading what is not there")
    def _():
        refused(lambda: client.load_model("nobody"), peer.statuses["NOT_FOUND"], "'nobody'")
        refused(lambda: client.unload_model("nobody"), peer.statuses["NOT_FOUND"], "'nobody'")
