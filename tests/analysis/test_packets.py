"""The binary format shared with static/src/packet.js, byte by byte."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nbtorchviz.analysis.packets import pack, unpack


def test_bytes_worked_by_hand():
    packet = pack({"a": 1}, {"x": np.array([1, 2, 3], np.uint8), "y": np.array([1.0], np.float32)})
    size = int.from_bytes(packet[:4], "little")
    header = json.loads(packet[4 : 4 + size])
    assert (4 + size) % 8 == 0
    assert header["a"] == 1
    assert header["arrays"] == [
        {"name": "x", "dtype": "u1", "shape": [3], "offset": 0, "size": 3},
        {"name": "y", "dtype": "f4", "shape": [1], "offset": 8, "size": 4},
    ]
    assert packet[4 + size :] == bytes([1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 128, 63, 0, 0, 0, 0])


@given(
    header=st.dictionaries(st.text(), st.text() | st.integers() | st.none(), max_size=4),
    array=hnp.arrays(
        st.sampled_from([np.uint8, np.uint16, np.uint32, np.int32, np.float16, np.float32, ">f8"]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    ),
)
def test_unpack_returns_what_was_packed(header, array):
    header.pop("arrays", None)
    read, arrays = unpack(pack(header, {"first": np.zeros(3, np.uint8), "x": array.T}))
    assert read == header
    assert arrays["x"].shape == array.T.shape
    np.testing.assert_array_equal(arrays["x"], array.T)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_header_refuses_what_is_not_json(value):
    with pytest.raises(ValueError, match=r"not JSON compliant|Out of range"):
        pack({"lo": value}, {})


def test_other_dtypes_are_refused_by_name():
    with pytest.raises(ValueError, match="cannot pack 'x' of dtype int64"):
        pack({}, {"x": np.arange(3)})
