"""`oskolok stop`: end a cluster from another terminal, even if its `oskolok serve` has died."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from cluster.config.sections import Config
from cluster.errors import Unavailable
from deploy.commands import options
from deploy.commands.common import configuration, out
from deploy.machine.claim import owner_of

STOPPED_WITHIN_S = 60.0


def stop(config: options.ConfigFile = None, set: options.Set = None) -> None:
    """End the cluster that serves storage.path on this machine or, if ray.address is set, the one in ray.namespace there."""
    loaded = configuration(config, set).config
    ended = _stop_here(loaded) if loaded.ray.address == "" else _stop_there(loaded)
    out.print(f"stopped {loaded.cluster.name}" if ended else "no cluster was running", markup=False)


def _stop_here(config: Config) -> bool:
    """Ask its `oskolok serve`. One that was killed took everything with it, HAProxy at the latest with the next start."""
    from deploy.machine.haproxy import end_strays
    from deploy.runtime.wiring import front_dir

    storage = Path(config.storage.path).absolute()
    owner = owner_of(storage)
    if not owner:
        end_strays(front_dir(config, storage))
        return False
    os.kill(owner, signal.SIGTERM)
    until = time.monotonic() + STOPPED_WITHIN_S
    while owner_of(storage) == owner:
        if time.monotonic() > until:
            raise Unavailable(f"process {owner} has not stopped after {STOPPED_WITHIN_S:.0f} s")
        time.sleep(0.1)
    return True


def _stop_there(config: Config) -> bool:
    """Everything of it is detached and found by name."""
    import ray

    from deploy.runtime.ending import end_application, end_supervisor
    from deploy.runtime.wiring import SUPERVISOR

    ray.init(address=config.ray.address, namespace=config.ray.namespace, log_to_driver=False, logging_level="warning")
    try:
        supervisor = ray.get_actor(SUPERVISOR, namespace=config.ray.namespace)
    except ValueError:
        return False
    end_application()
    end_supervisor(ray, supervisor)
    return True
