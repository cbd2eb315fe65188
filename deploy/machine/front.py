"""A program between Serve and HAProxy: it corrects the configuration and becomes HAProxy.

Serve rewrites HAProxy's configuration whenever its replicas change, and has no settings for some things that we need. `mended`
makes the changes and says why; it is pure, and applying it twice changes nothing more. The process ends with the process that
started it: otherwise HAProxy would outlive a Serve that was killed, and hold the port.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path

import msgspec

from deploy.http.arrival import ARRIVED
from deploy.problems import KINDS, URN, Problem

TIMEOUTS_S: Mapping[str, int] = {
    "connect": 1,  # to a router, and before it is tried once more if there is no other
    "http-request": 5,  # for the head of a request; Serve's own: an hour
    "http-keep-alive": 60,  # between two requests of a connection
    "client": 15,  # a caller that takes none of its answer, or sends none of its body, for so long; Serve's own: an hour
    "server": 15,  # over the longest deadline that can be configured
}

_PROBLEMS: Mapping[int, tuple[str, str]] = {
    500: ("internal", "the proxy in front of the routers failed"),
    502: ("unavailable", "the router that had the request ended before it answered"),
    503: ("unavailable", "no router is running right now"),
    504: ("deadline-exceeded", f"the router did not answer within {TIMEOUTS_S['server']} s"),
}
"""What HAProxy answers by itself, by its own status code: the code of our problem, and the detail. A head that it cannot read,
that is too large or too slow gets its own 400 or 408 in HTML: no setting of HAProxy's reaches those."""

_SECTION = re.compile(r"(global|defaults|frontend|backend|listen)\b\s*(\S*)")
_BIND = re.compile(r"(\s*bind\s+)(?:\*|0\.0\.0\.0|\[::\]|::)?:(\d+)")
_PRIVATE = frozenset({"prometheus", "stats"})
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG


def mended(config: str, pages: Path) -> str:
    """The configuration as it should be. pages: the folder that `error_pages` are in.

    - The statistics and metrics pages are for this machine only; Serve binds them to every interface.
    - The admin socket is for this user only.
    - Time-outs are ours.
    - What HAProxy answers when a router fails or is missing is a problem document.
    - A request is told when it arrived, so that its deadline counts from there.
    - While no router runs, callers hear so at once. Serve would have its own proxy queue their requests, and the first router
      to come back would be given all of them, mostly those of callers who have gone.
    """
    lines: list[str] = []
    section = name = ""
    for line in config.splitlines():
        if found := _SECTION.match(line):
            section, name = found.groups()
            lines.append(line)
            lines += _added(section, name, pages)
            continue
        words = line.split()
        if words[:1] == ["errorfile"] or (words[:1] == ["timeout"] and words[1:2] and words[1] in TIMEOUTS_S):
            continue
        if words[:3] == ["http-request", "set-header", ARRIVED] or (words[:1] == ["server"] and words[-1] == "backup"):
            continue
        if words[:2] == ["stats", "socket"]:
            line = re.sub(r"\bmode\s+\d+", "mode 600", line)
        if name in _PRIVATE:
            line = _BIND.sub(r"\g<1>127.0.0.1:\2", line)
        lines.append(line)
    return "\n".join(lines) + "\n"


def error_pages() -> dict[str, bytes]:
    """By file name, whole answers as HAProxy sends them."""
    return {f"{status}.http": _page(code, detail) for status, (code, detail) in _PROBLEMS.items()}


def main() -> None:
    """`front.py HAPROXY ARGUMENTS`: mend the file after -f and become HAPROXY."""
    parent = os.getppid()
    os.umask(0o077)
    binary, arguments = sys.argv[1], sys.argv[2:]
    file = Path(arguments[arguments.index("-f") + 1])
    file.parent.chmod(0o700)  # Serve makes it, open to all
    for name, page in error_pages().items():
        (file.parent / name).write_bytes(page)
    file.write_text(mended(file.read_text(), file.parent))
    end_with(parent)
    os.execv(binary, [binary, *arguments])


def end_with(parent: int) -> None:
    """Have the kernel end this process when `parent`, which started it, ends; at once if it has."""
    ctypes.CDLL(None, use_errno=True).prctl(_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def _added(section: str, name: str, pages: Path) -> Iterator[str]:
    if section == "defaults":
        yield from (f"    timeout {which} {seconds}s" for which, seconds in TIMEOUTS_S.items())
        yield from (f"    errorfile {status} {pages / f'{status}.http'}" for status in _PROBLEMS)
    if name == "http_frontend":
        yield f"    http-request set-header {ARRIVED} %[date(0,ms)],%[hostname]"


def _page(code: str, detail: str) -> bytes:
    kind = KINDS[code]
    body = msgspec.json.encode(Problem(URN + code, kind.title, kind.status, detail, help=kind.help))
    head = [
        f"HTTP/1.1 {kind.status} {HTTPStatus(kind.status).phrase}",
        "content-type: application/problem+json",
        f"content-length: {len(body)}",
    ]
    head += ["cache-control: no-cache", "connection: close"] + ["retry-after: 1"] * (kind.status == 503)
    return "\r\n".join([*head, "", ""]).encode() + body


if __name__ == "__main__":
    main()
