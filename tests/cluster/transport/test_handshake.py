"""Both sides prove that they hold the secret; nobody else gets anywhere, whatever they send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.errors import HandshakeRefused
from cluster.transport.handshake import CHALLENGE_BYTES, HELLO_BYTES, MAGIC, PROOF_BYTES, ClientHandshake, ServerHandshake

SECRET = b"0123456789abcdef"


def shake(client: ClientHandshake, server: ServerHandshake) -> bytes:
    """Runs both to the end and returns the client's proof."""
    proof = client.feed(server.feed(client.hello))
    server.feed(proof)
    return proof


def test_two_holders_of_the_secret_agree_in_three_messages_of_fixed_size() -> None:
    client, server = ClientHandshake(SECRET), ServerHandshake(SECRET)
    assert len(client.hello) == HELLO_BYTES
    challenge = server.feed(client.hello)
    assert len(challenge) == CHALLENGE_BYTES
    proof = client.feed(challenge)
    assert (len(proof), client.done, server.done) == (PROOF_BYTES, True, False)
    assert (server.feed(proof), server.done) == (b"", True)


@given(st.binary(max_size=50), st.data())
def test_it_works_however_the_bytes_arrive_and_keeps_what_follows(frames: bytes, data: st.DataObject) -> None:
    client, server = ClientHandshake(SECRET), ServerHandshake(SECRET)

    def feed_in_pieces(side: ClientHandshake | ServerHandshake, sent: bytes) -> bytes:
        cut = data.draw(st.integers(0, len(sent)))
        return b"".join(side.feed(piece) for piece in (sent[:cut], sent[cut:]) if piece)

    proof = feed_in_pieces(client, feed_in_pieces(server, client.hello))
    server.feed(proof + frames)
    assert client.done
    assert server.done
    assert server.surplus == frames


def test_a_client_without_the_secret_is_refused_and_so_is_a_server() -> None:
    with pytest.raises(HandshakeRefused, match="server does not hold"):
        ClientHandshake(b"another secret!!").feed(ServerHandshake(SECRET).feed(ClientHandshake(b"another secret!!").hello))
    server = ServerHandshake(SECRET)
    server.feed(ClientHandshake(SECRET).hello)
    with pytest.raises(HandshakeRefused, match="client does not hold"):
        server.feed(bytes(PROOF_BYTES))
    assert not server.done


def test_a_proof_can_be_neither_replayed_nor_reflected() -> None:
    client = ClientHandshake(SECRET)
    old_proof = shake(client, ServerHandshake(SECRET))
    again = ServerHandshake(SECRET)
    challenge = again.feed(client.hello)
    with pytest.raises(HandshakeRefused):
        again.feed(old_proof)
    mirror = ServerHandshake(SECRET)
    mirror.feed(client.hello)
    with pytest.raises(HandshakeRefused):
        mirror.feed(challenge[-PROOF_BYTES:])


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\n", b"\x16\x03\x01", b"oskolok\x02", bytes(200)])
@pytest.mark.parametrize("side", [ClientHandshake, ServerHandshake])
def test_another_protocol_or_version_is_refused_at_its_first_bytes(side, first: bytes) -> None:
    with pytest.raises(HandshakeRefused, match="another version"):
        side(SECRET).feed(first)


@given(st.binary(min_size=1, max_size=200))
def test_no_bytes_get_in(garbage: bytes) -> None:
    server = ServerHandshake(SECRET)
    try:
        server.feed(garbage)
        server.feed(MAGIC + garbage)
    except HandshakeRefused:
        return
    assert not server.done


def test_nonces_are_fresh_and_short_secrets_are_a_bug() -> None:
    assert ClientHandshake(SECRET).hello != ClientHandshake(SECRET).hello
    with pytest.raises(AssertionError, match="at least 16"):
        ServerHandshake(b"short")
