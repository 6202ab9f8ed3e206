"""Runs checks one after another and prints a JSON line for each: name, ok, and what went wrong."""

import json
import traceback

import numpy as np
from tritonclient.utils import InferenceServerException

_checks = []


def check(name):
    """Registers a function without arguments as a check."""

    def register(function):
        _checks.append((name, function))
        return function

    return register


def run_all():
    for name, function in _checks:
        try:
            function()
            result = {"name": name, "ok": True, "detail": ""}
        except BaseException as error:  # a check may not end the others, whatever it raises
            last = traceback.extract_tb(error.__traceback__)[-1]
            detail = f"{type(error).__name__}: {error} ({last.filename}:{last.lineno})"
            result = {"name": name, "ok": False, "detail": detail}
        print(json.dumps(result), flush=True)
    print(json.dumps({"done": len(_checks)}), flush=True)


def equal(actual, wanted, what="value"):
    if actual != wanted:
        raise AssertionError(f"{what}: expected {wanted!r}, got {actual!r}")


def contains(text, *parts):
    for part in parts:
        if part not in text:
            raise AssertionError(f"expected {part!r} in {text!r}")


def same_array(actual, wanted, what="array"):
    """Equal bit for bit; BYTES arrays element by element."""
    equal(tuple(actual.shape), tuple(wanted.shape), f"{what}: shape")
    if wanted.dtype == np.object_:
        # The client gives text for JSON and bytes for binary outputs.
        equal(*([as_bytes(item) for item in array.ravel()] for array in (actual, wanted)), what)
        return
    equal(actual.dtype, wanted.dtype, f"{what}: dtype")
    equal(actual.tobytes(), wanted.tobytes(), what)


def as_bytes(item):
    return item.encode() if isinstance(item, str) else item


def refused(call, status, *parts):
    """The call must raise InferenceServerException with this status, and these parts in its message."""
    try:
        call()
    except InferenceServerException as error:
        equal(error.status(), status, f"status of {error.message()!r}")
        contains(error.message(), *parts)
        return error
    raise AssertionError(f"expected a refusal with {status}, and nothing was raised")
