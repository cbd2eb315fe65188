"""A Ray that was joined runs other people's applications too: ending ours leaves theirs."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.ray

PROGRAM = """
import os
from deploy.machine.environment import ray_variables, serve_variables
os.environ.update(ray_variables("loopback", None) | {"RAY_AUTH_MODE": "disabled"})
import ray
from ray import serve
from deploy.runtime.ending import end_application
from deploy.runtime.serving import APPLICATION

@serve.deployment
class Theirs:
    async def __call__(self, request):
        return "theirs"

ray.init(address="local", include_dashboard=False, num_cpus=2, log_to_driver=False)
serve.start(http_options={"host": "127.0.0.1", "port": 0})
for name in (APPLICATION, "theirs"):
    serve.run(Theirs.bind(), name=name, route_prefix=f"/{name}")
before = sorted(serve.status().applications)
end_application()
print(before, sorted(serve.status().applications), serve.status().applications["theirs"].status.value)
serve.shutdown()
ray.shutdown()
"""


def test_an_application_of_somebody_else_stays() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "['oskolok', 'theirs'] ['theirs'] RUNNING" in done.stdout.splitlines()
