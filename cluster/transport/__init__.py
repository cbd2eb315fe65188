"""The data plane: how a caller's bytes reach a server of the cluster, and the answer comes back.

frame: what travels, a header and a body (`frames.py`).
connection: a live socket, as the caller (`client_connection.py`) or the server (`server_connection.py`) sees it. It begins
with a handshake (`handshake.py`), in which both sides prove that they hold the cluster's secret.
channel: a caller's lasting way to one server; it makes a connection, and a new one when that is lost (`channel.py`).
server: listens, and queues the calls of all its connections (`server.py`); `server_thread.py` gives it a thread of its own,
`heartbeat.py` tells whether it still serves.
call, service: a request that waits for its answer, and the function that answers it (`service.py`).

What the calls are about is not known here: see `cluster/clients` for the caller's side, `cluster/serving` for the server's.
"""
