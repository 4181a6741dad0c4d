"""The limit under an upload: an ASGI application that writes the body to a file, and no more.

python bare_upload.py PORT FILE
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvicorn

TARGET = Path(sys.argv[2])


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Write what comes, and say so."""
    if scope["type"] != "http":
        return
    more = True
    with TARGET.open("wb") as stream:
        while more:
            message = await receive()
            stream.write(message.get("body", b""))
            more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), lifespan="off", log_level="error")  # pyright: ignore[reportArgumentType]
