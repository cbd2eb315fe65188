"""Keeps a laptop's cluster on the laptop: what Ray and Serve would open to the network, and how each is kept from it.

Three parts listen on every interface by default. Ray's own servers follow the node's address, which is 127.0.0.1 if Ray may not
form a cluster (`deploy/machine/environment.py`). HAProxy's metrics and statistics pages have no setting, so the configuration
that Serve writes is corrected before HAProxy reads it (`deploy/machine/front.py`). The third part is below.
"""

from __future__ import annotations

import logging

log = logging.getLogger("oskolok.router")


def keep_replica_on_loopback() -> None:
    """Make this Serve replica's internal gRPC server, which is bound to [::] after the constructor returns, use 127.0.0.1.

    Ray 2.60 has no setting for it (`ray/serve/_private/replica.py`, `add_port_to_grpc_server(self._server, "[::]:0")`). It
    takes only callers with the cluster's token, so if a later Ray has moved it, a warning is enough.
    """
    from ray.serve._private import replica

    bind = getattr(replica, "add_port_to_grpc_server", None)
    if bind is None:
        log.warning("this version of Ray Serve opens its internal port in a way that Oskolok does not know")
        return

    def bind_to_loopback(server: object, address: str) -> int:
        return bind(server, address.replace("[::]", "127.0.0.1"))  # type: ignore[no-any-return]

    replica.add_port_to_grpc_server = bind_to_loopback
