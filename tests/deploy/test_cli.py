"""The command line without a cluster: what it prints where, and with which code it ends."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.errors import (
    ConfigError,
    GenerationCorrupt,
    GenerationMissing,
    InternalError,
    OskolokError,
    ShardLoading,
    Unavailable,
    all_classes,
)
from deploy.cli import run
from deploy.client import Client, ProblemAnswer
from deploy.commands.common import INTERRUPTED, NOT_READY, OUR_FAULT, USAGE, failure_of
from deploy.filter_text import parse_filter
from deploy.schema import to_json
from tests.deploy.fakes import view, why

ANSWER = {
    "request_id": "r",
    "items": [
        {
            "item_id": "7",
            "rank": 1,
            "score": 0.5,
            "sources": ["ann"],
            "payload": {"type": "milk [2 L]", "price": 1.25, "n": None},
        }
    ],
    "coverage": {"ratio": 1.0, "shards": {"total": 4, "ok": 4, "late": 0, "failed": 0, "loading": 0}},
    "degraded": [],
    "generation": {"id": "g-1", "topology": 3},
    "timings_ms": {"retrieve": 1.0, "total": 2.0},
    "exact_merge": True,
    "explain": None,
}
EXPLAINED = {
    "funnel": [{"stage": "retrieve", "in": 900, "out": 574, "took_ms": 4.0, "removed": {}}],
    "sources": [
        {
            "source": "ann",
            "asked": 300,
            "found": 290,
            "kept": 280,
            "exclusive": 71,
            "placed": 1,
            "took_ms": 1.49,
            "strategies": {"scan": 1, "graph": 3},
        },
        {
            "source": "with_basket",
            "asked": 100,
            "found": 0,
            "kept": 0,
            "exclusive": 0,
            "placed": 0,
            "took_ms": 0.01,
            "strategies": {"lists": 4},
        },
    ],
    "shards": [],
}
PROBLEM = {"title": "A limit was exceeded", "status": 400, "detail": "k is 500", "help": "ask for less"}


class Server(http.server.ThreadingHTTPServer):
    """Answers as the cluster would; what it was asked is kept."""

    asked: list[tuple[str, Any]]
    state: str


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        shown = json.loads(to_json(view("ready", "dead", "ready", "ready"))) if self.server.state != "STARTING" else None
        ranking = {"heavy": "catboost", "stage": "light", "why": "heavy adds nothing"} if shown else None
        checks = ["[+]config ok", "[~]shards 3/4"]
        self._answer(200, {"state": self.server.state, "checks": checks, "ranking": ranking, "cluster": shown})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append((self.path, body))
        answer = ANSWER | {"explain": EXPLAINED} if "explain" in body else ANSWER
        if self.path == "/v1/why":
            answer = {"request_id": "r", "why": json.loads(to_json(why()))}
        self._answer(*((400, PROBLEM) if body["k"] == 500 else (200, answer)))

    def _answer(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(("127.0.0.1", 0), Handler)
    made.asked, made.state = [], "READY"
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


def test_recommend_prints_a_table(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["recommend", "42", "-k", "3", "--filter", "price <= 4", "--exclude", "9", "-v", "--url", url(server)]
    assert run(arguments) == 0
    said = capsys.readouterr()
    assert "milk [2 L], price 1.25" in said.out
    assert "coverage 1.00 (4/4 shards), generation g-1, 2.0 ms" in said.out
    assert said.err.startswith("curl -s http://127.0.0.1:")
    assert server.asked == [
        (
            "/v1/recommend",
            {"user_id": "42", "k": 3, "filter": {"must": [{"field": "price", "lte": 4.0}]}, "exclude_item_ids": ["9"]},
        )
    ]


def test_an_explained_answer_shows_what_each_source_found(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    context = ["--basket", "7", "--viewed", "8", "--viewed", "9", "--playlist", "breakfast"]
    assert run(["recommend", "42", "--explain", *context, "--url", url(server)]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[-5:-1] == [
        "source asked found kept alone shown ms how",
        "ann 300 290 280 71 1 1.5 graph 3, scan 1",
        "with_basket 100 0 0 0 0 0.0 lists",
        "retrieve 574",
    ]
    asked = server.asked[0][1]
    assert asked["explain"] == "funnel"
    assert asked["context"] == {"basket": ["7"], "viewed": ["8", "9"], "playlists": ["breakfast"]}


def test_recommend_as_json_is_the_answer_and_nothing_else(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recommend", "42", "--format", "json", "--url", url(server)]) == 0
    assert json.loads(capsys.readouterr().out) == ANSWER


def test_a_problem_is_one_line_and_a_help_line(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recommend", "42", "-k", "500", "--url", url(server)]) == USAGE
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "error: k is 500\nhelp: ask for less\n")


@pytest.mark.parametrize(("state", "code"), [("READY", 0), ("DEGRADED", 0), ("STARTING", NOT_READY)])
def test_status(server: Server, capsys: pytest.CaptureFixture[str], state: str, code: int) -> None:
    server.state = state
    assert run(["status", "--url", url(server)]) == code
    said = capsys.readouterr().out
    assert state in said
    assert ("shard-1" in said) is (state != "STARTING")
    assert ("ranking light: heavy adds nothing" in said) is (state != "STARTING")
    assert "[~]shards 3/4" in said


def test_status_waits_for_every_part(server: Server) -> None:
    server.state = "DEGRADED"
    threading.Timer(0.3, lambda: setattr(server, "state", "READY")).start()
    assert run(["status", "--wait", "10", "--url", url(server)]) == 0
    server.state = "DEGRADED"
    assert run(["status", "--wait", "0.1", "--url", url(server)]) == NOT_READY


def test_nobody_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--url", "http://127.0.0.1:9"]) == NOT_READY
    said = capsys.readouterr().err
    assert said.startswith("error: http://127.0.0.1:9 cannot be reached") and "\nhelp: " in said


def test_config_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "check", "--set", "cluster.n_shards=0", "--set", "x.y=1"]) == USAGE
    said = capsys.readouterr().err
    assert "2 errors" in said and "cluster.n_shards" in said and "help: " in said
    assert run(["config", "show", "--set", "cluster.n_shards=8"]) == 0
    assert "n_shards = 8                        # --set" in capsys.readouterr().out
    assert run(["config", "show", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["cluster"]["n_shards"] == 4
    assert run(["config", "schema"]) == 0
    assert "sources.ann.recall_target" in capsys.readouterr().out
    assert run(["config", "schema", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "Config"


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["recommend"], ["recommend", "1", "-k", "x"], ["status", "--format", "xml"]]
)
def test_usage_errors(arguments: list[str]) -> None:
    assert run(arguments) == USAGE


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help"], ["recommend", "--help"], ["build", "--help"], ["config", "--help"]):
        assert run(arguments) == 0
    said = capsys.readouterr().out
    assert "oskolok demo" in said and "stores in (367)" in said


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), USAGE),
        (GenerationMissing("x"), USAGE),
        (GenerationCorrupt("x"), OUR_FAULT),
        (Unavailable("x"), NOT_READY),
        (ShardLoading("x"), NOT_READY),
        (InternalError("x"), OUR_FAULT),
        (ProblemAnswer(429, {}), NOT_READY),
        (ProblemAnswer(500, {}), OUR_FAULT),
        (ProblemAnswer(404, {}), USAGE),
        (KeyboardInterrupt(), INTERRUPTED),
        (ZeroDivisionError("x"), OUR_FAULT),
    ],
)
def test_exit_codes(error: BaseException, code: int) -> None:
    assert failure_of(error).code == code


@pytest.mark.parametrize("cls", all_classes().values(), ids=lambda cls: cls.__name__)
def test_every_error_ends_with_a_message_and_a_remedy(cls: type[OskolokError]) -> None:
    failure = failure_of(cls("what happened"))
    assert "what happened" in failure.message and failure.help and failure.code in (1, 2, 3)


def test_verbs_that_talk_http_load_neither_ray_nor_models() -> None:
    code = "import sys, deploy.cli; print([m for m in ('ray', 'numpy', 'pyarrow', 'catboost', 'fastapi') if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("brand = acme", {"field": "brand", "eq": "acme"}),
        ("brand='a, b'", {"field": "brand", "eq": "a, b"}),
        ("fresh = true", {"field": "fresh", "eq": True}),
        ("price>1.5", {"field": "price", "gt": 1.5}),
        ("stores in (367)", {"field": "stores", "in": ["367"]}),
        ('b in ("x y", z)', {"field": "b", "in": ["x y", "z"]}),
    ],
)
def test_filters_by_hand(text: str, condition: dict[str, Any]) -> None:
    assert parse_filter([text]) == {"must": [condition]}
    assert parse_filter([f"not {text}"]) == {"must_not": [condition]}


@pytest.mark.parametrize("text", ["", "brand", "brand =", "price < cheap", "b in a, b", "b in (a,,b)", "= 3"])
def test_filters_that_cannot_be_read_show_how(text: str) -> None:
    with pytest.raises(ConfigError, match="brand in"):
        parse_filter([text])


@pytest.mark.parametrize("address", ["ftp://x", "http://", "//"])
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(ConfigError):
        Client(address)
