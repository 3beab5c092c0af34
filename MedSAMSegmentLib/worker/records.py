"""Records: what a server sends of a worker on its way to the client, in the body of one answer that lasts as long.

A record is a 4-byte big-endian length, then bytes of the worker's output. One of length 0 says that the server is
there. The last has the highest bit of its length set and holds a JSON object that says how the worker ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import WorkerError

LENGTH_BYTES = 4
LAST = 1 << 31
MOST_BYTES = 1 << 20
MOST_LAST_BYTES = 1 << 16
PING = bytes(LENGTH_BYTES)

CURE = "Check the server's address. What answers there is no server of this version."


def data_record(data: bytes) -> bytes:
    """Return the record of up to `MOST_BYTES` of output, at least one."""
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


def last_record(fields: Mapping[str, Any]) -> bytes:
    text = json.dumps(fields).encode()
    return (LAST | len(text)).to_bytes(LENGTH_BYTES, "big") + text


class RecordParser:
    """Records out of a byte stream, however it is cut. `last` holds the fields of the last record once it came."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.last: dict[str, Any] | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the output in the records that `data` completes. Raises `WorkerError` for bytes that are no record."""
        self._buffer += data
        while self.last is None and len(self._buffer) >= LENGTH_BYTES:
            length = int.from_bytes(self._buffer[:LENGTH_BYTES], "big")
            is_last, length = bool(length & LAST), length & ~LAST
            if length > (MOST_LAST_BYTES if is_last else MOST_BYTES):
                raise WorkerError("What the server sent cannot be read.", CURE)
            if len(self._buffer) < LENGTH_BYTES + length:
                return
            content = bytes(self._buffer[LENGTH_BYTES : LENGTH_BYTES + length])
            del self._buffer[: LENGTH_BYTES + length]
            if is_last:
                self.last = _fields(content)
            elif content:
                yield content


def _fields(text: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WorkerError("What the server sent cannot be read.", CURE) from error
    if not isinstance(fields, dict):
        raise WorkerError("What the server sent cannot be read.", CURE)
    return fields
