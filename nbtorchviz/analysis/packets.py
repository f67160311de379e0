"""Pack arrays and their description into one buffer, so that they reach a view together.

Layout: uint32 little-endian header length, the header as JSON padded with spaces so that the
arrays begin on a multiple of 8 bytes, then each array on a multiple of 8 bytes. The header's
``arrays`` lists name, dtype, shape, offset (from the end of the header) and size in bytes.
The JavaScript twin is ``static/src/packet.js``.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CODES = {"u1", "u2", "u4", "i4", "f2", "f4", "f8"}
_ALIGN = 8


def pack(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return one buffer with ``header`` and ``arrays``.

    Args:
        header: JSON values; NaN and infinity are refused (they are not JSON).
        arrays: dtypes uint8/16/32, int32, float16/32/64; made contiguous and little-endian.

    Raises:
        ValueError: a dtype cannot be packed, or the header holds NaN or infinity.
    """
    entries, chunks, offset = [], [], 0
    for name, array in arrays.items():
        code = f"{array.dtype.kind}{array.dtype.itemsize}"
        if code not in _CODES:
            raise ValueError(f"cannot pack {name!r} of dtype {array.dtype}; use {sorted(_CODES)}")
        data = np.ascontiguousarray(array, dtype=np.dtype(f"<{code}")).tobytes()
        entries.append(
            {"name": name, "dtype": code, "shape": array.shape, "offset": offset, "size": len(data)}
        )
        padding = -len(data) % _ALIGN
        chunks += [data, bytes(padding)]
        offset += len(data) + padding
    text = json.dumps({**header, "arrays": entries}, allow_nan=False).encode()
    text += b" " * (-(4 + len(text)) % _ALIGN)
    return b"".join([len(text).to_bytes(4, "little"), text, *chunks])


def unpack(packet: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return the header (without ``arrays``) and read-only views of the arrays."""
    size = int.from_bytes(packet[:4], "little")
    header = json.loads(packet[4 : 4 + size])
    arrays = {}
    for entry in header.pop("arrays"):
        dtype = np.dtype(f"<{entry['dtype']}")
        start = 4 + size + entry["offset"]
        flat = np.frombuffer(packet, dtype, entry["size"] // dtype.itemsize, start)
        arrays[entry["name"]] = flat.reshape(entry["shape"])
    return header, arrays
