"""The map from errors to problem documents: total, and silent about what is nobody's business outside."""

from __future__ import annotations

import pytest

from cluster.errors import (
    ConfigError,
    DeadlineExceeded,
    InternalError,
    InvalidQuery,
    LimitExceeded,
    OskolokError,
    Overloaded,
    ShardUnavailable,
    UnknownFilterField,
    all_classes,
)
from deploy.metrics.router_metrics import OUTCOMES, Metrics
from deploy.problems import CODES, KINDS, FieldProblem, Refused, code_of, headers_of, problem_of


@pytest.mark.parametrize("cls", all_classes().values(), ids=lambda cls: cls.__name__)
def test_every_error_has_a_code_of_its_own_or_of_its_parent(cls: type[OskolokError]) -> None:
    code = code_of(cls("what happened"))
    assert code in KINDS
    assert cls in CODES or any(parent in CODES for parent in cls.__mro__[1:-3]), f"{cls.__name__} falls through to the root"


@pytest.mark.parametrize("cls", all_classes().values(), ids=lambda cls: cls.__name__)
def test_the_callers_fault_is_4xx_and_ours_5xx(cls: type[OskolokError]) -> None:
    theirs = issubclass(cls, InvalidQuery | Overloaded)
    assert (problem_of(cls("x")).status < 500) is theirs


@pytest.mark.parametrize("cls", all_classes().values(), ids=lambda cls: cls.__name__)
def test_every_error_is_counted_under_one_outcome(cls: type[OskolokError]) -> None:
    metrics = Metrics()
    metrics.refused(cls("x"))
    counted = {labels[0]: cell.value for labels, cell in metrics.outcomes.series.items() if cell.value}
    assert list(counted.values()) == [1]
    assert set(counted) <= set(OUTCOMES)


@pytest.mark.parametrize(
    "error", [InternalError("at /secret/path"), ConfigError("token=1"), OskolokError("x"), KeyError("token")]
)
def test_our_own_faults_are_not_described(error: Exception) -> None:
    problem = problem_of(error)
    assert problem.status == 500
    assert "secret" not in problem.detail and "token" not in problem.detail


def test_a_limit_names_its_key() -> None:
    error = LimitExceeded("k is 500, the limit is 200", field="/k", allowed="<= 200", limit_key="limits.k")
    problem = problem_of(error, instance="/v1/recommend", request_id="r")
    assert (problem.detail, problem.instance, problem.request_id) == ("k is 500, the limit is 200", "/v1/recommend", "r")
    assert problem.errors == (FieldProblem("#/k", "allowed: <= 200", "limits.k"),)
    assert problem.help == "ask for less, or raise limits.k in oskolok.toml"


def test_an_unknown_attribute_lists_the_known_ones() -> None:
    error = UnknownFilterField("no attribute 'x'", field="/filter/must/0/field", allowed="brand, price")
    assert problem_of(error).help == "filter on one of: brand, price"


def test_headers() -> None:
    assert headers_of(Overloaded("x", retry_after_s=3)) == [(b"retry-after", b"3")]
    assert headers_of(ShardUnavailable("x")) == [(b"retry-after", b"1")]
    assert headers_of(Refused("method-not-allowed", "x", allow="POST")) == [(b"allow", b"POST")]
    assert headers_of(Refused("body-too-large", "x")) == [(b"connection", b"close")]
    assert headers_of(DeadlineExceeded("x")) == []


def test_every_kind_says_what_to_do() -> None:
    for code, kind in KINDS.items():
        assert kind.help or code == "unknown-filter-field", code
        assert 400 <= kind.status < 600
