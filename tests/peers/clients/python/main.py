"""Asks a server everything the official Triton clients can: main.py HTTP_ADDRESS GRPC_ADDRESS."""

import sys

import asynchronous
import common
import errors
import over_grpc
import over_http
import repository
import tritonclient.grpc as grpcclient
import tritonclient.http as httpclient
from checks import run_all

HTTP_STATUSES = {
    "INVALID_ARGUMENT": "400",
    "PERMISSION_DENIED": "403",
    "NOT_FOUND": "404",
    "UNSUPPORTED": "501",
    "NOT_READY": "503",
    "DEADLINE_EXCEEDED": "504",
}
GRPC_STATUSES = {
    "INVALID_ARGUMENT": "StatusCode.INVALID_ARGUMENT",
    "PERMISSION_DENIED": "StatusCode.PERMISSION_DENIED",
    "NOT_FOUND": "StatusCode.NOT_FOUND",
    "UNSUPPORTED": "StatusCode.UNIMPLEMENTED",
    "NOT_READY": "StatusCode.UNAVAILABLE",
    "DEADLINE_EXCEEDED": "StatusCode.DEADLINE_EXCEEDED",
}


def main(http_url, grpc_url):
    http_client = httpclient.InferenceServerClient(http_url, concurrency=4)
    grpc_client = grpcclient.InferenceServerClient(grpc_url)
    over_http_peer = common.Peer("http", httpclient, http_client, HTTP_STATUSES, {})
    over_grpc_peer = common.Peer("grpc", grpcclient, grpc_client, GRPC_STATUSES, {"as_json": True})
    for peer in (over_http_peer, over_grpc_peer):
        common.register(peer)
        repository.register(peer)
        errors.register(peer)
    over_http.register(over_http_peer)
    over_grpc.register(over_grpc_peer, grpc_url)
    asynchronous.register(http_url, grpc_url)
    run_all()


main(*sys.argv[1:])
