"""The limit under any server of MLflow's protocol: answers at once, and does nothing.

python null_server.py PORT [FILE]    FILE: JSON of path -> answer, for what is asked
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

RUN = {
    "info": {
        "run_id": "0" * 32,
        "run_uuid": "0" * 32,
        "experiment_id": "1",
        "status": "RUNNING",
        "start_time": 1,
        "artifact_uri": "mlflow-artifacts:/1",
        "lifecycle_stage": "active",
    },
    "data": {},
}
ANSWERS: dict[str, bytes] = {
    "experiments/create": b'{"experiment_id": "1"}',
    "runs/create": json.dumps({"run": RUN}).encode(),
    "runs/update": json.dumps({"run_info": RUN["info"]}).encode(),
}


class Null(asyncio.Protocol):
    """One connection."""

    answers: dict[str, bytes]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        self._transport = transport
        self._data = b""

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[:end]
            length = 0
            for line in head.split(b"\r\n")[1:]:
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            if len(self._data) < end + 4 + length:
                return
            self._data = self._data[end + 4 + length :]
            path = head.split(b" ", 2)[1].decode()
            body = next((found for part, found in self.answers.items() if part in path), b"{}")
            answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: "
            self._transport.write(  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
                answer + str(len(body)).encode() + b"\r\n\r\n" + body
            )


async def serve(port: int, answers: dict[str, bytes]) -> None:
    """Answer until killed."""
    Null.answers = answers
    server = await asyncio.get_running_loop().create_server(Null, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    more: dict[str, str] = json.loads(Path(sys.argv[2]).read_text()) if len(sys.argv) > 2 else {}
    given = {path: text.encode() for path, text in more.items()}
    asyncio.run(serve(int(sys.argv[1]), {**given, **ANSWERS}))
