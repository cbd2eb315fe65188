"""The CLI's side of the HTTP API: standard library only, so that `oskolok recommend` starts in a tenth of a second.

Problems come back as `ProblemAnswer`; a server that cannot be reached is Unavailable.
"""

from __future__ import annotations

import http.client
import json
import shlex
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cluster.errors import ConfigError, Unavailable

if TYPE_CHECKING:
    from cluster.config.sections import HttpSection


def local_url(http: HttpSection) -> str:
    """Where the server of this configuration is reached from its own machine."""
    host = "127.0.0.1" if http.host in ("0.0.0.0", "::") else http.host
    return f"http://{host}:{http.port}"


class ProblemAnswer(Exception):
    """The server answered with a problem document, or with an error that is none."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(problem.get("detail") or problem.get("title") or f"status {status}")
        self.status = status
        self.problem = problem

    @property
    def help(self) -> str:
        return str(self.problem.get("help", ""))


class Client:
    """One server. curls: the same requests as curl commands, for people who asked to see them."""

    def __init__(self, url: str, *, timeout_s: float = 10.0) -> None:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"{url!r} is not an http:// address")
        self.url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self.curls: list[str] = []
        self._prefix = parts.path.rstrip("/")
        self._connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._host, self._port = parts.hostname, parts.port
        self._timeout_s = timeout_s

    def recommend(self, body: dict[str, Any]) -> dict[str, Any]:
        """POST /v1/recommend."""
        return self._json("POST", "/v1/recommend", body)

    def why(self, body: dict[str, Any]) -> dict[str, Any]:
        """POST /v1/why: the answer itself."""
        answer: dict[str, Any] = self._json("POST", "/v1/why", body)["why"]
        return answer

    def cluster(self) -> dict[str, Any]:
        """GET /v1/cluster: state, checks, which stage ranks, and the supervisor's view."""
        return self._json("GET", "/v1/cluster")

    def version(self) -> dict[str, Any]:
        """GET /version."""
        return self._json("GET", "/version")

    def get(self, path: str) -> tuple[int, bytes]:
        """Any other page: status and body."""
        return self._ask("GET", path, None)

    def _json(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        status, content = self._ask(method, path, body)
        try:
            document = json.loads(content)
        except ValueError:
            document = {"detail": content[:200].decode(errors="replace")}
        if status >= 400 or not isinstance(document, dict):
            raise ProblemAnswer(status, document if isinstance(document, dict) else {})
        return document

    def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[int, bytes]:
        content = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        headers = {} if content is None else {"content-type": "application/json"}
        shown = f" -H 'content-type: application/json' -d {shlex.quote(content.decode())}" if content is not None else ""
        self.curls.append(f"curl -s {self.url}{path}{shown}")
        connection = self._connect(self._host, self._port, timeout=self._timeout_s)
        try:
            connection.request(method, self._prefix + path, content, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"{self.url} cannot be reached: {error or type(error).__name__}") from None
        finally:
            connection.close()
