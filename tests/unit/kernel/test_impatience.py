"""Ctrl-C while the command line is still loading ends it without a trace."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("after_s", [0.15, 0.3, 0.5, 0.8])
def test_who_changes_his_mind_at_once_sees_no_trace(after_s: float, tmp_path: Path) -> None:
    begun = subprocess.Popen(
        [sys.executable, "-m", "services.kernel", "doctor"],
        cwd=_ROOT,
        env={
            **os.environ,
            "PYTHONPATH": f"{_ROOT}:{_ROOT / 'contracts/gen'}",
            "OMS_DATA_HOME": str(tmp_path),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(after_s)
    begun.send_signal(signal.SIGINT)
    _, told = begun.communicate(timeout=30)
    assert "Traceback" not in told
