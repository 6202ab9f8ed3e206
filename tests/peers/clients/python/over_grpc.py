"""What only the gRPC client does: callbacks, streams, log and trace settings."""

import queue
from functools import partial

import numpy as np
import tritonclient.grpc as grpcclient
from checks import check, contains, equal, refused, same_array
from tensors import IRIS, REFERENCE


def register(peer, url):
    others(peer)
    streams(peer, url)
    settings(peer)


def others(peer):
    client = peer.client

    for coding in ("gzip", "deflate"):

        @check(f"grpc: {coding}")
        def _(coding=coding):
            result = peer.reference(compression_algorithm=coding)
            same_array(result.as_numpy("out_bytes"), REFERENCE["in_bytes"])

    @check("grpc: async_infer, several at once")
    def _():
        answers = queue.Queue()
        for index in range(16):
            client.async_infer("iris", [peer.input("X", IRIS)], partial(put, answers), request_id=str(index))
        results = [take(answers) for _ in range(16)]
        equal({each.get_response().id for each in results}, {str(index) for index in range(16)})
        equal([list(each.as_numpy("label")) for each in results], [[2, 0]] * 16)

    @check("grpc: async_infer of an unknown model")
    def _():
        answers = queue.Queue()
        client.async_infer("nobody", [peer.input("X", IRIS)], partial(put, answers))
        refused(lambda: take(answers), "StatusCode.NOT_FOUND", "'nobody'")

    @check("grpc: async_infer that is cancelled")
    def _():
        answers = queue.Queue()
        call = client.async_infer("waits", [peer.input("x", IRIS)], partial(put, answers))
        call.cancel()
        refused(lambda: take(answers), "StatusCode.CANCELLED")

    @check("grpc: the client's time-out")
    def _():
        asked = lambda: client.infer("waits", [peer.input("x", IRIS)], client_timeout=0.1)
        refused(asked, "StatusCode.DEADLINE_EXCEEDED")


def put(answers, result, error):
    answers.put((result, error))


def take(answers):
    result, error = answers.get(timeout=30)
    if error is not None:
        raise error
    return result


def streams(peer, url):
    def streaming(ask, count, **how):
        """Opens a stream on a client of its own, asks, and gives what came back: `count` answers or errors."""
        answers = queue.Queue()
        with grpcclient.InferenceServerClient(url) as client:
            client.start_stream(partial(put, answers), **how)
            ask(client)
            given = [answers.get(timeout=30) for _ in range(count)]
            client.stop_stream()
        equal(answers.empty(), True, "nothing more came")
        return given

    for coding in (None, "gzip"):

        @check(f"grpc: a stream of requests, compression {coding}")
        def _(coding=coding):
            def ask(client):
                for index in range(8):
                    client.async_stream_infer("iris", [peer.input("X", IRIS)], request_id=str(index))

            given = streaming(ask, 8, compression_algorithm=coding)
            equal([error for _, error in given], [None] * 8)
            equal([result.get_response().id for result, _ in given], [str(index) for index in range(8)])
            equal([list(result.as_numpy("label")) for result, _ in given], [[2, 0]] * 8)

    @check("grpc: an error on a stream answers its request alone")
    def _():
        def ask(client):
            client.async_stream_infer("nobody", [peer.input("X", IRIS)], request_id="bad")
            client.async_stream_infer("iris", [peer.input("X", IRIS)], request_id="good")

        (_, error), (result, _) = streaming(ask, 2)
        contains(error.message(), "NOT_FOUND", "'nobody'")
        equal(result.get_response().id, "good")

    def ask_words(text, **how):
        def ask(client):
            words = np.array([text], dtype=np.object_)
            client.async_stream_infer("words", [peer.input("text", words)], request_id="w", **how)

        return ask

    def word_of(result):
        final = result.get_response().parameters["triton_final_response"].bool_param
        array = result.as_numpy("word")
        return (None if array is None else array[0].decode(), final)

    @check("grpc: a model that answers several times")
    def _():
        given = streaming(ask_words("one two three"), 3)
        equal([word_of(result) for result, _ in given], [("one", False), ("two", False), ("three", True)])

    @check("grpc: a final response of its own, when asked for")
    def _():
        given = streaming(ask_words("one two", enable_empty_final_response=True), 3)
        equal([word_of(result) for result, _ in given], [("one", False), ("two", False), (None, True)])

    @check("grpc: a model that fails in the middle of its answers")
    def _():
        given = streaming(ask_words("one fail"), 2)
        equal(word_of(given[0][0]), ("one", False))
        contains(given[1][1].message(), "INVALID_ARGUMENT", "asked to fail")

    @check("grpc: a stream that is cancelled")
    def _():
        answers = queue.Queue()
        with grpcclient.InferenceServerClient(url) as client:
            client.start_stream(partial(put, answers))
            client.async_stream_infer("waits", [peer.input("x", IRIS)])
            client.stop_stream(cancel_requests=True)
        refused(lambda: take(answers), "StatusCode.CANCELLED")

    @check("grpc: a stream's time-out")
    def _():
        answers = queue.Queue()
        with grpcclient.InferenceServerClient(url) as client:
            client.start_stream(partial(put, answers), stream_timeout=0.5)
            client.async_stream_infer("waits", [peer.input("x", IRIS)])
            _, error = answers.get(timeout=30)
        # The client's clock or the server's, whichever is first.
        contains(f"{error.status()} {error.message()}", "DEADLINE_EXCEEDED")


def settings(peer):
    client, as_json = peer.client, peer.as_json

    def value(settings, name):
        [given] = settings["settings"][name].values()
        return given

    @check("grpc: log settings are shown and changed")
    def _():
        before = client.get_log_settings(**as_json)
        equal(value(before, "log_error"), True)
        changed = client.update_log_settings({"log_verbose_level": 1, "log_info": True}, **as_json)
        equal(value(changed, "log_verbose_level"), 1)
        client.update_log_settings({"log_verbose_level": 0}, **as_json)
        equal(value(client.get_log_settings(**as_json), "log_verbose_level"), 0)

    @check("grpc: a log setting that is not there")
    def _():
        change = lambda: client.update_log_settings({"log_colour": True})
        refused(change, "StatusCode.INVALID_ARGUMENT", "log_colour")

    @check("grpc: trace settings are shown, and cannot be changed")
    def _():
        for model in (None, "iris"):
            given = client.get_trace_settings(model, **as_json)
            equal(given["settings"]["trace_level"]["value"], ["OFF"])
        change = lambda: client.update_trace_settings(settings={"trace_rate": "1"})
        refused(change, "StatusCode.UNIMPLEMENTED", "trace_rate")
        refused(lambda: client.get_trace_settings("nobody"), "StatusCode.NOT_FOUND", "'nobody'")
