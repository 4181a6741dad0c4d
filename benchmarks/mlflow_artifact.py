"""A gigabyte through the artifact proxy: time and memory, against an application that only writes.

Ours hashes what comes, makes it durable and gives it its name in a transaction; the limit is a bare
ASGI application on the same web server that writes the body to a file. Reading it back goes
through the check of every byte.

    python benchmarks/mlflow_artifact.py [--megabytes 1024]
"""

from __future__ import annotations

import argparse
import http.client
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from mlflow_bench import servers
from mlflow_bench.servers import Server

PIECE = bytes(range(256)) * 4096
PATH = "/api/2.0/mlflow-artifacts/artifacts/0/bench/artifacts/big.bin"


def main() -> None:
    """Measure both, and print how they compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=1024)
    count: int = parser.parse_args().megabytes
    with tempfile.TemporaryDirectory(prefix="mill-bench-") as name:
        folder = Path(name)
        bare = folder / "bare.bin"
        port = servers.free_port()
        script = str(servers.HERE / "bare_upload.py")
        command = [sys.executable, script, str(port), str(bare)]
        with servers.started("bare", command, port, folder=folder) as server:
            limit, _ = upload(server, count)
        bare.unlink()
        port = servers.free_port()
        command = servers.ours(port, folder / "home")
        with servers.started("ours", command, port, folder=folder) as server:
            upload(server, 8)
            ours, more = upload(server, count)
            back = download(server, count)
    print(f"upload of {count} MB   bare {limit:7.1f} MB/s   ours {ours:7.1f} MB/s")
    print(f"                   {ours / limit:.0%} of the limit; {more:.1f} MB more memory")
    print(f"download           ours {back:7.1f} MB/s, every byte checked")


def upload(server: Server, megabytes: int) -> tuple[float, float]:
    """Return megabytes a second, and by how many the server grew meanwhile."""
    before = server.memory_mb()[0]
    highest = [before]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            highest[0] = max(highest[0], server.memory_mb()[0])

    watcher = threading.Thread(target=watch)
    watcher.start()
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    began = time.perf_counter()
    length = {"Content-Length": str(megabytes * len(PIECE))}
    connection.request("PUT", PATH, body=pieces(megabytes), headers=length)
    answer = connection.getresponse()
    answer.read()
    took = time.perf_counter() - began
    done.set()
    watcher.join()
    connection.close()
    if answer.status != 200:
        raise SystemExit(f"the upload failed with {answer.status}")
    return megabytes / took, highest[0] - before


def download(server: Server, megabytes: int) -> float:
    """Return megabytes a second."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    began = time.perf_counter()
    connection.request("GET", PATH)
    answer = connection.getresponse()
    size = 0
    while read := answer.read(1 << 20):
        size += len(read)
    took = time.perf_counter() - began
    connection.close()
    if size != megabytes * len(PIECE):
        raise SystemExit(f"{size} bytes came back")
    return megabytes / took


def pieces(count: int) -> Iterator[bytes]:
    """Iterate over the file's megabytes, no two of them alike."""
    for number in range(count):
        yield number.to_bytes(8) + PIECE[8:]


if __name__ == "__main__":
    main()
