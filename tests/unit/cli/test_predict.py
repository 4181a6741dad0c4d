from __future__ import annotations

import os
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import msgspec
import pytest

from fixtures.command_line import Mill
from millwright.cli.predict import Answered
from millwright.cli.processes import RunFile, announced

pytestmark = pytest.mark.sockets

METADATA = {
    "name": "churn",
    "inputs": [
        {"name": "age", "datatype": "INT64", "shape": [-1]},
        {"name": "region", "datatype": "BYTES", "shape": [-1]},
    ],
    "outputs": [],
}


@contextmanager
def serving() -> Generator[tuple[str, list[dict[str, object]]]]:
    """Serve a model `churn` that says how old everybody is, and note what it is asked."""
    asked: list[dict[str, object]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/v2/models/churn":
                self.reply(200, METADATA)
            else:
                self.reply(404, {"error": "no such model"})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = msgspec.json.decode(body)
            asked.append(request)
            ages = request["inputs"][0]["data"]
            many = len(ages) > 1
            ids = [f"dec_{n}" for n in range(len(ages))]
            self.reply(
                200,
                {
                    "model_name": "churn",
                    "model_version": "3",
                    "parameters": {
                        "version": 3,
                        "decision_ids" if many else "decision_id": ",".join(ids),
                        "actions" if many else "action": ",".join(["call"] * len(ages)),
                    },
                    "outputs": [
                        {"name": "score", "datatype": "FP64", "shape": [len(ages)], "data": ages},
                        {
                            "name": "p",
                            "datatype": "FP64",
                            "shape": [len(ages), 2],
                            "data": [0.25, 0.75] * len(ages),
                        },
                    ],
                },
            )

        def reply(self, status: int, answer: object) -> None:
            data = msgspec.json.encode(answer)
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_one_row_is_asked_and_answered_with_its_decision(nowhere: Mill) -> None:
    with serving() as (url, asked):
        ended = nowhere.ok(
            "predict", "churn", "--row", '{"age": 31, "region": "north"}', "--key", "k1",
            "--serving-url", url,
        )  # fmt: skip
    assert asked == [
        {
            "inputs": [
                {"name": "age", "datatype": "INT64", "shape": [1], "data": [31]},
                {"name": "region", "datatype": "BYTES", "shape": [1], "data": ["north"]},
            ],
            "parameters": {"key": "k1"},
        }
    ]
    assert ended.out == (
        "score  p           action  version  decision\n   31  0.25, 0.75  call    v3       dec_0\n"
    )
    assert ended.err == "Why it came out so: mill decision explain dec_0\n"


def test_rows_of_a_file_are_asked_at_once(nowhere: Mill) -> None:
    nowhere.write("rows.csv", "region,age,more\n7,31.0,x\nsouth,,y\n")
    with serving() as (url, asked):
        ended = nowhere.ok("predict", "churn", "--file", "rows.csv", "--serving-url", url, "--json")
    tensors = msgspec.convert(asked[0]["inputs"], list[dict[str, object]])
    assert [one["data"] for one in tensors] == [[31, None], ["7", "south"]]
    found = ended.record(list[Answered])
    assert [(one.decision, one.action) for one in found] == [("dec_0", "call"), ("dec_1", "call")]


def test_the_homes_own_serving_process_is_asked(nowhere: Mill) -> None:
    with serving() as (url, asked):
        port = int(url.rpartition(":")[2])
        entry = RunFile(name="serve", pid=os.getpid(), started_us=0, host="127.0.0.1", port=port)
        with announced(nowhere.folder / ".millwright/run", entry):
            nowhere.ok("predict", "churn", "--row", '{"age": 1, "region": null}')
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["churn", "--row", '{"age": 31}'], 2, "row 1 has no 'region'"),
        (["churn", "--row", '{"age": 31, "regoin": "x"}'], 2, "row 1 has no 'region'"),
        (["churn", "--row", "{"], 2, "--row is not a JSON object"),
        (["churn"], 2, "give either --row or --file"),
        (["churn", "--file", "gone.csv"], 3, "there is no file gone.csv"),
        (["chrun", "--row", "{}"], 3, "did not answer for /v2/models/chrun"),
    ],
)
def test_what_cannot_be_asked_says_why(
    nowhere: Mill, words: list[str], code: int, said: str
) -> None:
    with serving() as (url, asked):
        ended = nowhere("predict", *words, "--serving-url", url)
    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err.splitlines()[0]
    assert asked == []


def test_where_nobody_serves_exits_7(nowhere: Mill) -> None:
    with serving() as (url, _):
        pass
    ended = nowhere("predict", "churn", "--row", "{}", "--serving-url", url)
    assert ended.code == 7
    assert ended.err.splitlines()[0] == f"error: no serving process answers at {url}"
