"""The clients for asyncio."""

import asyncio

import tritonclient.grpc.aio as grpcclient
import tritonclient.http.aio as httpclient
from checks import check, equal
from tensors import IRIS


def iris_input(module):
    tensor = module.InferInput("X", list(IRIS.shape), "FP32")
    tensor.set_data_from_numpy(IRIS)
    return tensor


async def infer(module, url):
    async with module.InferenceServerClient(url) as client:
        equal(await client.is_server_ready(), True)
        asked = [client.infer("iris", [iris_input(module)], request_id=str(index)) for index in range(8)]
        results = await asyncio.gather(*asked)
    equal([list(each.as_numpy("label")) for each in results], [[2, 0]] * 8)


async def stream(url):
    async def requests():
        for index in range(5):
            yield {"model_name": "iris", "inputs": [iris_input(grpcclient)], "request_id": str(index)}

    async with grpcclient.InferenceServerClient(url) as client:
        answers = [each async for each in client.stream_infer(requests())]
    equal([error for _, error in answers], [None] * 5)
    equal([result.get_response().id for result, _ in answers], [str(index) for index in range(5)])


def register(http_url, grpc_url):
    check("http.aio: several at once")(lambda: asyncio.run(infer(httpclient, http_url)))
    check("grpc.aio: several at once")(lambda: asyncio.run(infer(grpcclient, grpc_url)))
    check("grpc.aio: a stream")(lambda: asyncio.run(stream(grpc_url)))
