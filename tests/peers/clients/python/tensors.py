"""The inputs of the reference models, with the extremes of each datatype."""

import ml_dtypes
import numpy as np
from tritonclient.utils import np_to_triton_dtype

NAN, INF = float("nan"), float("inf")


def integers(dtype):
    limits = np.iinfo(dtype)
    return np.array([[limits.min, limits.max], [0, 1]], dtype=dtype)


REFERENCE = {
    "in_bool": np.array([[True, False], [False, True]]),
    "in_uint8": integers(np.uint8),
    "in_uint16": integers(np.uint16),
    "in_uint32": integers(np.uint32),
    "in_uint64": integers(np.uint64),
    "in_int8": integers(np.int8),
    "in_int16": integers(np.int16),
    "in_int32": integers(np.int32),
    "in_int64": integers(np.int64),
    "in_fp32": np.array([[-0.0, 1e-45], [0.1, np.finfo(np.float32).max]], dtype=np.float32),
    "in_fp64": np.array([[-0.0, 5e-324], [0.1, np.finfo(np.float64).max]]),
    "in_bytes": np.array([["", "plain"], ["naïve ✓ 🚀", '"\\\n']], dtype=np.object_),
    "in_column": np.array([[1.5], [2.5]], dtype=np.float32),
}
HALF = np.array([[-0.0, 2**-24], [65504, 0.1]], dtype=np.float16)
#: JSON has no form for these that the client would write.
NOT_FINITE = {
    "FP16": np.array([NAN, INF, -INF, -0.0], dtype=np.float16),
    "FP32": np.array([NAN, INF, -INF, -0.0], dtype=np.float32),
    "FP64": np.array([NAN, INF, -INF, -0.0]),
    "BF16": np.array([NAN, INF, -INF, -0.0, 1.5, 3e38], dtype=ml_dtypes.bfloat16),
}
NOT_TEXT = np.array([b"\xff\xfe", b"\0", b"", b"a\0b"], dtype=np.object_)
IRIS = np.array([[6.3, 3.4, 5.6, 2.4], [5.1, 3.5, 1.4, 0.2]], dtype=np.float32)


def datatype_of(array):
    return np_to_triton_dtype(array.dtype)


def output_of(name):
    return name.replace("in_", "out_", 1)
