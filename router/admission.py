"""Limits how many requests one router works on at once. Beyond that, a request is refused at once; none waits in a queue."""

from __future__ import annotations

from types import TracebackType

from cluster.config.sections import AdmissionSection
from cluster.errors import Overloaded


class Admission:
    """A counter with a ceiling. Entered for as long as a request is worked on; one event loop only.

    >>> gate = Admission(AdmissionSection(max_in_flight=1))
    >>> with gate: gate.in_flight
    1
    """

    __slots__ = ("_section", "in_flight")

    def __init__(self, section: AdmissionSection) -> None:
        self._section = section
        self.in_flight = 0

    def __enter__(self) -> None:
        """Raises Overloaded, with `retry_after_s`, when max_in_flight requests are being worked on."""
        if self.in_flight >= self._section.max_in_flight:
            raise Overloaded(
                f"{self.in_flight} requests are in flight, the limit is {self._section.max_in_flight}",
                retry_after_s=self._section.retry_after_s,
                limit_key="admission.max_in_flight",
            )
        self.in_flight += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.in_flight -= 1
