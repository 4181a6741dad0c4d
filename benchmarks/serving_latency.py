"""What a served answer costs beside the model itself.

A forest of 100 trees over 30 columns, one row a request, V2 JSON over loopback, one connection.
Three rungs: ONNX Runtime called in process (the limit), a bare ASGI application around it that
checks and records nothing, and the serving process with validation, routing, policy, capture,
sealing and metrics. CPU time of the whole process per request is the figure to compare: it
hardly moves with what else the machine does.

    python benchmarks/serving_latency.py [--requests 5000]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast

import msgspec
import numpy as np
import numpy.typing as npt
import uvicorn

from millwright.core.digest import Digest, digest_file
from millwright.core.ids import DeploymentId, ModelVersionId, new_id
from millwright.records.serving import (
    WEIGHT_TOTAL,
    DecisionPolicy,
    DeploymentPlan,
    Plans,
    SegmentHeader,
    Variant,
)
from millwright.registry.package import LoadedModel, load_package, write_package
from millwright.serving.app import Receive, Scope, Send
from millwright.serving.models import digest_folder
from millwright.serving.process import serve
from millwright.serving.protocols.inference_v2 import InferenceV2

COLUMNS = 30
TREES = 100
SEED = 0
WARM_UP = 500


@dataclass(frozen=True)
class OnePlan:
    """A control plane with one deployment; it takes every segment."""

    package: Path
    model: Digest

    def plans(self, *, after: int, wait_s: float) -> Plans:
        if after >= 1:
            time.sleep(wait_s)
        variant = Variant(
            role="champion",
            version=1,
            model_version=ModelVersionId(new_id("mov")),
            digest=self.model,
            package_digest=digest_folder(self.package),
            weight=WEIGHT_TOTAL,
        )
        plan = DeploymentPlan(
            deployment=DeploymentId(new_id("dep")),
            name="forest",
            project="default",
            model="forest",
            revision=1,
            variants=[variant],
            policy=DecisionPolicy(version="p1"),
            salt="s",
            hash_key="00" * 32,
        )
        return Plans(revision=1, plans=[plan])

    def fetch_package(self, digest: Digest, folder: Path) -> None:
        del digest
        shutil.copytree(self.package, folder)

    def put_file(self, path: Path) -> Digest:
        return digest_file(path)

    def seal(self, header: SegmentHeader) -> None:
        del header


class _BareTensor(msgspec.Struct):
    data: list[float]


class _BareRequest(msgspec.Struct):
    inputs: list[_BareTensor]


@dataclass(frozen=True)
class Figures:
    """Of one rung."""

    median_us: float
    p99_us: float
    cpu_us: float


def make_package(folder: Path) -> tuple[LoadedModel, npt.NDArray[np.float64]]:
    """Fit the forest, write its package, and return it loaded, with its rows."""
    from sklearn.ensemble import RandomForestClassifier

    random = np.random.default_rng(SEED)
    rows = random.normal(size=(569, COLUMNS))
    labels = (rows[:, :5].sum(axis=1) + random.normal(size=569) > 0).astype(np.int64)
    columns = {f"column_{at}": rows[:, at] for at in range(COLUMNS)}
    model = RandomForestClassifier(TREES, random_state=SEED)
    write_package(model.fit(rows, labels), example=columns, folder=folder, now_us=0)
    return load_package(folder), rows


def run_served(package: Path, model: Digest, state: Path, pipe: Connection) -> None:
    """Serve until killed; send the port."""
    serve(
        OnePlan(package, model),
        host="127.0.0.1",
        port=0,
        state=state,
        instance="benchmark",
        ready=pipe.send,
        protocols=[InferenceV2()],
    )


def run_bare(package: Path, model: Digest, state: Path, pipe: Connection) -> None:
    """Serve the same model with nothing around it."""
    del model, state
    predictor = load_package(package).predictor
    names = [f"column_{at}" for at in range(COLUMNS)]

    decoder = msgspec.json.Decoder(_BareRequest)
    encoder = msgspec.json.Encoder()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        body = cast("bytes", (await receive())["body"])
        row = np.array(decoder.decode(body).inputs[0].data).reshape(1, COLUMNS)
        found = predictor.predict({name: row[:, at] for at, name in enumerate(names)})
        answer = encoder.encode({"outputs": [{"data": v.tolist()} for v in found.values()]})
        headers = [(b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        pipe.send(listener.getsockname()[1])
        config = uvicorn.Config(
            app,  # pyright: ignore[reportArgumentType] (our narrower ASGI types)
            lifespan="off",
            log_level="error",
            access_log=False,
        )
        uvicorn.Server(config).run(sockets=[listener])


def measure_http(
    target: Callable[[Path, Digest, Path, Connection], None],
    *,
    package: Path,
    model: Digest,
    state: Path,
    rows: npt.NDArray[np.float64],
    requests: int,
) -> Figures:
    """Run a server in a process of its own and ask it row by row."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=target, args=(package, model, state, there))
    process.start()
    try:
        assert here.poll(60), "the server did not start"
        port = cast("int", here.recv())
        bodies = [request_bytes(row) for row in rows]
        with socket.create_connection(("127.0.0.1", port)) as connection:
            deadline = time.monotonic() + 30
            while not ask(connection, bodies[0]).startswith(b"HTTP/1.1 200"):
                assert time.monotonic() < deadline, "the server did not become ready"
                time.sleep(0.05)
            for at in range(WARM_UP):
                ask(connection, bodies[at % len(bodies)])
            before_s = cpu_of(process.pid)
            took_us: list[float] = []
            for at in range(requests):
                began = time.perf_counter()
                answer = ask(connection, bodies[at % len(bodies)])
                took_us.append((time.perf_counter() - began) * 1e6)
                assert answer.startswith(b"HTTP/1.1 200"), answer
            # What is captured is also sealed, a second later.
            time.sleep(1.5)
            cpu_us = (cpu_of(process.pid) - before_s) / requests * 1e6
    finally:
        process.terminate()
        process.join(30)
    return figures(took_us, cpu_us)


def measure_in_process(model: LoadedModel, rows: npt.NDArray[np.float64], requests: int) -> Figures:
    """Call the model with rows that are columns already."""
    names = [column.name for column in model.signature.inputs]
    ready = [{name: row[at : at + 1] for at, name in enumerate(names)} for row in rows]
    for columns in ready:
        model.predictor.predict(columns)
    took_us: list[float] = []
    before_s = time.process_time()
    for at in range(requests):
        began = time.perf_counter()
        model.predictor.predict(ready[at % len(ready)])
        took_us.append((time.perf_counter() - began) * 1e6)
    return figures(took_us, (time.process_time() - before_s) / requests * 1e6)


def request_bytes(row: npt.NDArray[np.float64]) -> bytes:
    """Return the whole HTTP request for one row."""
    tensor = {"name": "x", "shape": [1, COLUMNS], "datatype": "FP64", "data": row.tolist()}
    body = msgspec.json.encode({"inputs": [tensor]})
    head = (
        f"POST /v2/models/forest/infer HTTP/1.1\r\nHost: b\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def ask(connection: socket.socket, request: bytes) -> bytes:
    """Send a request and return its answer, which fits one read or a few."""
    connection.sendall(request)
    answer = connection.recv(65536)
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(65536)
    head, _, body = answer.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return head + body


def cpu_of(pid: int | None) -> float:
    """Return the CPU seconds a process has used; Linux only."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def figures(took_us: list[float], cpu_us: float) -> Figures:
    """Return medians and tails."""
    return Figures(statistics.median(took_us), float(np.quantile(took_us, 0.99)), cpu_us)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=5000)
    requests = cast("int", parser.parse_args().requests)
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "package"
        package.mkdir()
        model, rows = make_package(package)
        limit = measure_in_process(model, rows, requests)
        rungs = {"in process": limit}
        for name, target in (("bare ASGI", run_bare), ("millwright", run_served)):
            rungs[name] = measure_http(
                target,
                package=package,
                model=model.digest,
                state=Path(folder) / name,
                rows=rows,
                requests=requests,
            )
    print(f"one row, {COLUMNS} columns, forest of {TREES} as {model.flavor}, {requests} requests")
    print(f"{'':12} {'median us':>10} {'p99 us':>10} {'CPU us':>8} {'CPU ratio':>10}")
    for name, each in rungs.items():
        ratio = each.cpu_us / limit.cpu_us
        print(
            f"{name:12} {each.median_us:10.1f} {each.p99_us:10.1f} {each.cpu_us:8.1f} {ratio:9.1f}x"
        )
    share = rungs["bare ASGI"].cpu_us / rungs["millwright"].cpu_us
    print(f"of a bare application's rate per CPU: {share:.0%}")


if __name__ == "__main__":
    main()
