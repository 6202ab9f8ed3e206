"""Uses a server with the official openai package: checks.py URL. Prints one JSON object of what it got."""

import asyncio
import json
import sys

import openai

URL = sys.argv[1]
client = openai.OpenAI(base_url=f"{URL}/v1", api_key="none", max_retries=0)


def user(text):
    return [{"role": "user", "content": text}]


def chat():
    answer = client.chat.completions.create(model="echo", messages=user("hi there"), n=2, max_tokens=2)
    return [[choice.message.content, choice.finish_reason] for choice in answer.choices], answer.usage.total_tokens


def chat_stream():
    stream = client.chat.completions.create(
        model="echo", messages=user("hi"), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    texts = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
    return texts, chunks[-1].usage.total_tokens


def tools():
    with client.chat.completions.stream(model="scripted", messages=user("tools")) as stream:
        for _ in stream:
            pass
        message = stream.get_final_completion().choices[0].message
    return [[call.function.name, call.function.arguments] for call in message.tool_calls]


def completions():
    answer = client.completions.create(model="echo", prompt=["a", "b"])
    return [choice.text for choice in answer.choices]


def embeddings():
    packed = client.embeddings.create(model="scripted", input="four").data[0].embedding
    plain = client.embeddings.create(model="scripted", input="four", encoding_format="float").data[0].embedding
    return packed[0], all(abs(a - b) < 1e-7 for a, b in zip(packed, plain))


def models():
    return [model.id for model in client.models.list()], client.models.retrieve("echo").id


def errors():
    names = []
    for model, text in [("nobody", "hi"), ("scripted", "refuse")]:
        try:
            client.chat.completions.create(model=model, messages=user(text))
        except openai.APIStatusError as error:
            names.append([type(error).__name__, error.code])
    try:
        client.chat.completions.create(model="echo", messages=user("hi"), temperature=9)
    except openai.BadRequestError as error:
        names.append([error.param, error.type])
    try:
        for _ in client.chat.completions.create(model="scripted", messages=user("breaks"), stream=True):
            pass
    except openai.APIError as error:
        names.append([type(error).__name__, error.message])
    return names


async def concurrently():
    async with openai.AsyncOpenAI(base_url=f"{URL}/v1", api_key="none") as several:
        asks = [several.chat.completions.create(model="echo", messages=user(str(i))) for i in range(20)]
        answers = await asyncio.gather(*asks)
    return all(answer.choices[0].message.content == f"Echo: {i}" for i, answer in enumerate(answers))


results = {each.__name__: each() for each in [chat, chat_stream, tools, completions, embeddings, models, errors]}
results["concurrently"] = asyncio.run(concurrently())
print(json.dumps(results))
