"""The map from Ray's errors to ours: total over everything Ray 2.60 can raise. Imports Ray, starts nothing."""

from __future__ import annotations

import inspect

import pytest
from ray import exceptions

from cluster.errors import DeadlineExceeded, HandshakeRefused, InternalError, OskolokError, ShardLoading, Unavailable
from cluster.ray_errors import from_ray, known, verdict

RAY_ERRORS = [
    cls
    for _, cls in inspect.getmembers(exceptions, inspect.isclass)
    if issubclass(cls, exceptions.RayError) and cls is not exceptions.RayError
]


def made(cls: type[BaseException]) -> BaseException:
    """One of this class, whatever its constructor wants."""
    error = cls.__new__(cls)
    Exception.__init__(error, "what Ray said")
    return error


@pytest.mark.parametrize("cls", RAY_ERRORS, ids=lambda cls: cls.__name__)
def test_every_error_of_ray_was_considered(cls: type[BaseException]) -> None:
    assert known(cls), f"{cls.__name__} is new in this Ray: decide what it says about an actor"


def test_there_is_something_to_map() -> None:
    assert len(RAY_ERRORS) > 30


def task_error(cause: Exception) -> BaseException:
    return exceptions.RayTaskError("status", "Traceback …", cause, 1, "127.0.0.1").as_instanceof_cause()


def test_our_errors_come_back_as_themselves() -> None:
    back = from_ray(task_error(ShardLoading("still reading", shard=3)), "shard-3")
    assert (type(back), back.message, back.details) == (ShardLoading, "still reading", {"shard": 3})
    assert verdict(task_error(ShardLoading("still reading"))) == "alive"


def test_foreign_errors_name_their_kind_and_whom() -> None:
    back = from_ray(task_error(KeyError("x")), "shard-3")
    assert type(back) is InternalError
    assert "shard-3" in back.message and "KeyError" in back.message


@pytest.mark.parametrize(
    ("error", "ours", "says"),
    [
        (exceptions.ActorDiedError(), Unavailable, "dead"),
        (exceptions.ActorUnavailableError("m", None), Unavailable, "suspect"),
        (exceptions.GetTimeoutError("m"), DeadlineExceeded, "suspect"),
        (TimeoutError(), DeadlineExceeded, "suspect"),
        (exceptions.WorkerCrashedError(), Unavailable, "dead"),
        (exceptions.NodeDiedError("m"), Unavailable, "dead"),
        (exceptions.OutOfMemoryError("m"), Unavailable, "dead"),
        (exceptions.PendingCallsLimitExceeded("m"), Unavailable, "suspect"),
        (made(exceptions.AuthenticationError), HandshakeRefused, "alive"),
        (ValueError("ours"), InternalError, "alive"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_what_the_common_ones_mean(error: BaseException, ours: type[OskolokError], says: str) -> None:
    assert type(from_ray(error, "shard-0")) is ours
    assert verdict(error) == says


def test_a_dead_actor_is_not_a_suspect_though_its_class_says_so() -> None:
    assert issubclass(exceptions.ActorDiedError, exceptions.RayActorError)
    assert verdict(exceptions.RayActorError()) == "suspect"
