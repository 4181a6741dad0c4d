from __future__ import annotations

import io

import pytest

from millwright.pipelines.executor import Broke, Finished, Logged, Message
from millwright.pipelines.wire import Receiver, Sender
from millwright.records.runs import Problem

SENT = [
    Logged(task="t", text=b"\x00\xff" * 1000),
    Broke(task="t", problem=Problem(code="failed", what="é")),
    Finished(task="t", outputs=[]),
]


def sent_bytes() -> bytes:
    stream = io.BytesIO()
    sender = Sender(stream)
    for message in SENT:
        sender.send(message)
    return stream.getvalue()


def test_messages_come_in_order_and_whole() -> None:
    receiver: Receiver[Message] = Receiver(io.BytesIO(sent_bytes()), Message)
    assert [receiver.receive() for _ in range(4)] == [*SENT, None]


@pytest.mark.parametrize("cut", [1, 3, 20])
def test_a_message_cut_short_is_the_end(cut: int) -> None:
    receiver: Receiver[Message] = Receiver(io.BytesIO(sent_bytes()[:-cut]), Message)
    assert [receiver.receive() for _ in range(3)] == [*SENT[:2], None]


def test_closing_twice_is_no_error() -> None:
    sender = Sender(io.BytesIO())
    sender.close()
    sender.close()
