"""How two processes convince each other that both hold the cluster's secret, before either reads anything else.

    client → server   magic and version (8), client nonce (32)
    server → client   magic and version (8), server nonce (32), HMAC-SHA256(secret, "server" + both nonces)
    client → server   HMAC-SHA256(secret, "client" + both nonces)

Fixed sizes, fresh nonces, one label per direction so that neither proof can be reflected, comparisons in constant
time. It proves membership; it does not encrypt: the network between the nodes has to be private. These are pure state
machines: bytes in, bytes out.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable

from cluster.errors import HandshakeRefused

MAGIC = b"oskolok\x01"
NONCE_BYTES = 32
PROOF_BYTES = 32
HELLO_BYTES = len(MAGIC) + NONCE_BYTES
CHALLENGE_BYTES = len(MAGIC) + NONCE_BYTES + PROOF_BYTES
SECRET_BYTES_MIN = 16

Nonce = Callable[[int], bytes]


def check_secret(secret: bytes) -> None:
    """A secret that can be guessed is a bug of the code that made it."""
    assert len(secret) >= SECRET_BYTES_MIN, f"a secret of {len(secret)} bytes, at least {SECRET_BYTES_MIN} are needed"


class _Side:
    """Feed it what arrives until `done`; then `surplus` is the beginning of the frames."""

    def __init__(self, secret: bytes, nonce: Nonce = secrets.token_bytes) -> None:
        check_secret(secret)
        self._secret = secret
        self._nonce = nonce(NONCE_BYTES)
        self._held = b""
        self.done = False
        self.surplus = b""


class ServerHandshake(_Side):
    """The accepting side."""

    _client_nonce = b""

    def feed(self, chunk: bytes) -> bytes:
        """What to send in answer to these bytes, possibly nothing. Raises HandshakeRefused."""
        assert not self.done, "what follows the handshake is frames"
        self._held += chunk
        answer = b""
        if not self._client_nonce:
            if len(self._held) < HELLO_BYTES:
                _check_magic(self._held)
                return b""
            hello, self._held = _cut(self._held, HELLO_BYTES)
            _check_magic(hello)
            self._client_nonce = hello[len(MAGIC) :]
            answer = MAGIC + self._nonce + _proof(self._secret, b"server", self._client_nonce, self._nonce)
        if len(self._held) >= PROOF_BYTES:
            proof, self.surplus = _cut(self._held, PROOF_BYTES)
            if not hmac.compare_digest(proof, _proof(self._secret, b"client", self._client_nonce, self._nonce)):
                raise HandshakeRefused("the client does not hold the cluster's secret")
            self.done = True
        return answer


class ClientHandshake(_Side):
    """The connecting side: it sends `hello` first."""

    @property
    def hello(self) -> bytes:
        return MAGIC + self._nonce

    def feed(self, chunk: bytes) -> bytes:
        """What to send in answer to these bytes, possibly nothing. Raises HandshakeRefused."""
        assert not self.done, "what follows the handshake is frames"
        self._held += chunk
        _check_magic(self._held)
        if len(self._held) < CHALLENGE_BYTES:
            return b""
        challenge, self.surplus = _cut(self._held, CHALLENGE_BYTES)
        server_nonce = challenge[len(MAGIC) : len(MAGIC) + NONCE_BYTES]
        if not hmac.compare_digest(challenge[-PROOF_BYTES:], _proof(self._secret, b"server", self._nonce, server_nonce)):
            raise HandshakeRefused("the server does not hold this cluster's secret")
        self.done = True
        return _proof(self._secret, b"client", self._nonce, server_nonce)


def _proof(secret: bytes, side: bytes, client_nonce: bytes, server_nonce: bytes) -> bytes:
    return hmac.digest(secret, MAGIC + side + client_nonce + server_nonce, "sha256")


def _cut(held: bytes, n: int) -> tuple[bytes, bytes]:
    return held[:n], held[n:]


def _check_magic(held: bytes) -> None:
    if held[: len(MAGIC)] != MAGIC[: len(held)]:
        raise HandshakeRefused(f"not this protocol, or another version of it (expected {MAGIC!r})")
