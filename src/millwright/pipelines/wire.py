"""Messages over a pipe: four bytes of length, big-endian, and a MessagePack value."""

from __future__ import annotations

import threading
from typing import IO, Generic, TypeVar, cast

import msgspec

T = TypeVar("T")

_LENGTH_BYTES = 4


class Sender:
    """Writes messages to a stream, whole ones, from any thread."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def send(self, message: msgspec.Struct) -> None:
        """Write a message and flush; raises OSError when the other end is gone."""
        data = msgspec.msgpack.encode(message)
        with self._lock:
            self._stream.write(len(data).to_bytes(_LENGTH_BYTES) + data)
            self._stream.flush()

    def close(self) -> None:
        """Close the stream; the other end reads to its end."""
        with self._lock:
            try:
                self._stream.close()
            except OSError:
                return  # What was left to flush has no reader.


class Receiver(Generic[T]):
    """Reads messages of one union of types from a stream."""

    def __init__(self, stream: IO[bytes], shape: object) -> None:
        self._stream = stream
        self._decoder = msgspec.msgpack.Decoder(cast("type[T]", shape))

    def receive(self) -> T | None:
        """Return the next message, or None at the end, also when it comes within a message."""
        head = self._stream.read(_LENGTH_BYTES)
        if len(head) < _LENGTH_BYTES:
            return None
        size_bytes = int.from_bytes(head)
        data = self._stream.read(size_bytes)
        return None if len(data) < size_bytes else self._decoder.decode(data)
