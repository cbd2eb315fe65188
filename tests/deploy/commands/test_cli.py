"""The command line without a cluster: what it prints where, and with which code it ends."""

from __future__ import annotations

import http.server
import io
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

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
from deploy.commands.common import INTERRUPTED, NOT_READY, OUR_FAULT, USAGE, failure_of, out
from deploy.commands.filter_text import parse_filter
from deploy.commands.prose import prose
from deploy.commands.slate_text import slate_table
from deploy.commands.status import _print
from deploy.http.schema import to_json
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
        told = {"checks": checks, "ranking": ranking, "published": "g2", "cluster": shown}
        self._answer(200, {"state": self.server.state, **told})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append((self.path, body))
        answer = ANSWER | {"explain": EXPLAINED} if "explain" in body else ANSWER
        if body["user_id"] == "capped":
            answer = answer | {"degraded": ["cap_relaxed"]}
            if "explain" in body:
                answer["explain"] = EXPLAINED | {"slate": {"relaxed": {"2": ["cap.brand"], "3": ["cap.brand"]}}}
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
    assert run(["recommend", "42", "--explain", "funnel", *context, "--url", url(server)]) == 0
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


@pytest.mark.parametrize(
    ("explain", "note"),
    [
        ([], "note: a cap was relaxed, because nothing else was left"),
        (["--explain", "funnel"], "note: cap.brand was relaxed for 2 items, because nothing else was left"),
    ],
)
def test_a_relaxed_cap_is_a_note_below_the_table(
    explain: list[str], note: str, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["recommend", "capped", *explain, "--url", url(server)]) == 0
    assert note in capsys.readouterr().out.splitlines()[2]
    assert run(["recommend", "42", *explain, "--url", url(server)]) == 0
    assert "note:" not in capsys.readouterr().out


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
    assert ("ranking: light serves; heavy adds nothing" in said) is (state != "STARTING")
    assert ("generation g2 is published and will be served after the next start" in said) is (state != "STARTING")
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
    assert "what happened" in failure.message and failure.code in (1, 2, 3)
    assert failure.help or cls is ConfigError  # whose remedy depends on what is wrong
    assert failure_of(cls("what happened", help="do this")).help == "do this"


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (["recommend", "42", "-k", "500"], USAGE, PROBLEM | {"type": "urn:oskolok:problem:answer", "exit_code": USAGE}),
        (["recommend", "42", "--filter", "x ="], USAGE, {"type": "urn:oskolok:problem:configuration"}),
        (["recommend", "42", "--pin", "7"], USAGE, {"detail": "--pin '7' is not ITEM=POSITION"}),
        (["recommend", "42", "-k", "0"], USAGE, {"type": "urn:oskolok:problem:usage"}),
        (
            ["recommend", "42", "--set", "x.y=1", "--url", ""],
            USAGE,
            {"errors": [{"where": "--set", "key": "x", "detail": "unknown key"}]},
        ),
        (["recommend", "42", "--url", "http://127.0.0.1:9"], NOT_READY, {"type": "urn:oskolok:problem:unavailable"}),
    ],
)
@pytest.mark.parametrize("form", [["--format", "json"], ["--format=json"]])
def test_as_json_a_failure_is_one_problem_on_stdout(
    server: Server,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    problem: dict[str, Any],
    form: list[str],
) -> None:
    here = [] if "--url" in arguments else ["--url", url(server)]
    assert run([*arguments, *here, *form]) == code
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert said.err == "" and told["exit_code"] == code
    assert {key: told[key] for key in problem} == problem


def test_help_is_about_what_was_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    run(["config", "check", "--set", "x.y=1"])
    assert "`oskolok config schema` lists every key" in capsys.readouterr().err
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        run(["demo", "--port", str(taken.getsockname()[1])])
    told = capsys.readouterr().err
    assert "help: stop what listens there" in told and "config schema" not in told
    run(["recommend", "42", "--filter", "nonsense"])
    run(["config", "check", "-c", "absent.toml"])
    assert "config schema" not in capsys.readouterr().err


def test_what_a_request_can_say(server: Server) -> None:
    said = ["--seed", "7", "--pin", "a=b=4", "--pin", "9=1", "--explain", "full"]
    assert run(["recommend", "42", *said, "--url", url(server)]) == 0
    asked = server.asked[0][1]
    assert (asked["seed"], asked["explain"]) == (7, "full")
    assert asked["pins"] == [{"item_id": "a=b", "position": 4}, {"item_id": "9", "position": 1}]


def test_the_version_is_an_option_and_a_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert run(["version"]) == 0
    assert capsys.readouterr().out.startswith(f"{line} · ray ")


def test_help_keeps_what_stands_in_brackets_and_fills_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    run(["build", "--help"])
    told = capsys.readouterr().out
    assert "[catalog], [events], [user_table]" in told
    assert prose("One paragraph\n    of [two] lines.\n\n    $ one\n    $ two") == (
        "One paragraph of \\[two] lines.\n\n[bold]one[/]\n[bold]two[/]"
    )


def test_what_an_item_is_comes_before_who_found_it() -> None:
    item = ANSWER["items"][0] | {"payload": {"title": "t" * 50}, "sources": [f"source_{n}" for n in range(6)]}
    shown = Console(width=80, file=io.StringIO())
    shown.print(slate_table(ANSWER | {"items": [item]}, 80))
    assert (line := shown.file.getvalue().splitlines()[1]).rstrip().endswith("source_0 +5")
    assert "t" * 50 in line and len(line.rstrip()) <= 80


def test_why_a_part_is_dead_is_a_line_of_its_own(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(out, "_width", 80)
    state = json.loads(to_json(view("ready", "dead")))
    why = state["replicas"][1]["detail"] = "its process ended: " + "killed by `ray.kill` " * 8
    _print({"cluster": state, "state": "DEGRADED", "checks": [], "ranking": None}, "http://x")
    told = capsys.readouterr().out.splitlines()
    assert f"  {state['replicas'][1]['name']}: {why}".rstrip() in [line.rstrip() for line in told]
    assert max(len(line) for line in told if "its process ended" not in line and "generation" not in line) <= 80


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
        ("stores in 367", {"field": "stores", "in": ["367"]}),
        ("brand = Ben & Jerry's, large", {"field": "brand", "eq": "Ben & Jerry's, large"}),
        ("brand!=acme", {"field": "brand", "ne": "acme"}),
        ("in_stock", {"field": "in_stock", "eq": True}),
        ("price between 1 and 2.5", {"field": "price", "gte": 1, "lte": 2.5}),
        ("1<=price<2", {"field": "price", "gte": 1, "lt": 2}),
        ("2 > price", {"field": "price", "lt": 2}),
        ("(price < 2)", {"field": "price", "lt": 2}),
    ],
)
def test_filters_by_hand(text: str, condition: dict[str, Any]) -> None:
    assert parse_filter([text]) == {"must": [condition]}
    assert parse_filter([f"not {text}"]) == {"must_not": [condition]}


A, B, C = ({"field": name, "eq": True} for name in "abc")


@pytest.mark.parametrize(
    ("text", "filter"),
    [
        ("a and b and not c", {"must": [A, B], "must_not": [C]}),
        ("a or b and c", {"must": [{"any_of": [A, {"all_of": [B, C]}]}]}),
        ("(a or b) and c", {"must": [{"any_of": [A, B]}, C]}),
        ("a or not b", {"must": [{"any_of": [A, {"none_of": [B]}]}]}),
        ("not (a or b)", {"must_not": [A, B]}),
        ("not (a and b)", {"must_not": [{"all_of": [A, B]}]}),
        ("a not in (x)", {"must_not": [{"field": "a", "in": ["x"]}]}),
        ("price between 1 and 2 and a", {"must": [{"field": "price", "gte": 1, "lte": 2}, A]}),
    ],
)
def test_several_conditions_in_one_text(text: str, filter: dict[str, Any]) -> None:
    assert parse_filter([text]) == filter


def test_texts_all_hold() -> None:
    assert parse_filter(["a or b", "not c", "a"]) == {"must": [{"any_of": [A, B]}, A], "must_not": [C]}


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "brand =",
            "price < cheap",
            "b in a, b",
            "b in (a,,b)",
            "= 3",
            "a and",
            "or a",
            "(a",
            "a)",
            "not",
            "1 < 2",
            "a b",
        ),
        *("price between 1", "price between a and b", "a in", "a in ()", "b = x (y)", "1 <= price >= 2", "'a' = b"),
    ],
)
def test_filters_that_cannot_be_read_show_how(text: str) -> None:
    with pytest.raises(ConfigError, match="brand in"):
        parse_filter([text])


@pytest.mark.parametrize("address", ["ftp://x", "http://", "//"])
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(ConfigError):
        Client(address)
