"""The only place where Ray's errors become ours, and the only opinion on what each says about the actor that was called.

Ray is the control plane: these are failures of placing, pinging and stopping actors, never of a query. An actor that could
not be reached is not dead (Ray's own advice is to quarantine it and ask again), so there are three verdicts.
"""

from __future__ import annotations

from typing import Literal

from ray import exceptions

from cluster.errors import DeadlineExceeded, HandshakeRefused, InternalError, OskolokError, Unavailable

Verdict = Literal["alive", "suspect", "dead"]

_DEAD: tuple[type[BaseException], ...] = (
    exceptions.ActorDiedError,
    exceptions.ActorHandleNotFoundError,
    exceptions.ActorPlacementGroupRemoved,
    exceptions.ActorUnschedulableError,
    exceptions.AsyncioActorExit,
    exceptions.NodeDiedError,
    exceptions.OutOfMemoryError,
    exceptions.RuntimeEnvSetupError,
    exceptions.TaskPlacementGroupRemoved,
    exceptions.TaskUnschedulableError,
    exceptions.WorkerCrashedError,
)
"""The process is gone or will never be: start another."""

_SUSPECT: tuple[type[BaseException], ...] = (
    exceptions.ActorUnavailableError,
    exceptions.GetTimeoutError,
    exceptions.LocalRayletDiedError,
    exceptions.ObjectLostError,
    exceptions.ObjectStoreFullError,
    exceptions.OutOfDiskError,
    exceptions.PendingCallsLimitExceeded,
    exceptions.PlasmaObjectNotAvailable,
    exceptions.RayActorError,
    exceptions.RaySystemError,
    exceptions.RpcError,
    exceptions.TaskCancelledError,
    TimeoutError,
)
"""Nothing is known but that it did not answer: ask again. RayActorError is here for what is not one of its dead kinds."""

_REFUSED = (exceptions.AuthenticationError,)

_BUGS: tuple[type[BaseException], ...] = (
    exceptions.ActorAlreadyExistsError,
    exceptions.CrossLanguageError,
    exceptions.ObjectRefStreamEndOfStreamError,
    exceptions.OufOfBandObjectRefSerializationException,
    exceptions.RayTaskError,
    exceptions.UnserializableException,
    exceptions.UserCodeException,
)
"""The actor answered, with an exception of its own, or we used Ray wrongly: it is alive."""


def from_ray(error: BaseException, what: str) -> OskolokError:
    """Our error for any failure of a call to an actor. what: whom was called, for the message."""
    if isinstance(error, exceptions.RayTaskError):
        cause = error.cause
        if isinstance(cause, OskolokError):
            return cause
        return InternalError(f"{what} raised {type(cause).__name__}: {cause}")
    if isinstance(error, OskolokError):
        return error
    if isinstance(error, TimeoutError):  # Ray's GetTimeoutError is one too
        return DeadlineExceeded(f"{what} did not answer in time", stage=what)
    if isinstance(error, _REFUSED):
        return HandshakeRefused(f"{what}: Ray refused the authentication token")
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ["no message"]
    cause = f" … {lines[-1]}" if len(lines) > 1 else ""  # Ray puts the constructor's own error last
    text = f"{what}: {type(error).__name__}: {lines[0]}{cause}"
    if isinstance(error, _DEAD + _SUSPECT):
        return Unavailable(text)
    return InternalError(text)


def verdict(error: BaseException) -> Verdict:
    """What a failed call says about the actor. Anything foreign is our bug and says nothing against it."""
    if isinstance(error, _BUGS + _REFUSED):
        return "alive"
    if isinstance(error, _DEAD):
        return "dead"
    return "suspect" if isinstance(error, _SUSPECT) else "alive"


def known(cls: type[BaseException]) -> bool:
    """Whether the map was made with this class in mind."""
    return issubclass(cls, _DEAD + _SUSPECT + _REFUSED + _BUGS)
