"""The embedded system's database server, to be hurt: who it is, and whether it is gone."""

import time
from pathlib import Path

from tests.support.embedded import Embedded

_GONE_WITHIN_S = 30.0


def postmaster(system: Embedded) -> tuple[int, str]:
    """Return the server's process id and the DSN of its superuser, as it tells them itself."""
    file = system.data_home.resolve() / "postgres/postmaster.pid"
    pid, _, _, _, socket_folder, *_ = file.read_text().splitlines()
    return int(pid), f"postgresql://postgres@/postgres?host={socket_folder}"


def wait_until_gone(pid: int) -> None:
    """Wait until the process is dead and buried: the server refuses to start before."""
    until = time.monotonic() + _GONE_WITHIN_S
    while time.monotonic() < until and Path(f"/proc/{pid}").exists():
        time.sleep(0.05)
