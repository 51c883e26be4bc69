"""The broker's jars come into the user's cache once, whoever else asks for them meanwhile."""

import os
import subprocess
import sys
from pathlib import Path

_MAVEN = """#!/bin/sh
echo "$@" >> "{calls}"
sleep 0.5
for word in "$@"; do
    case "$word" in -DoutputDirectory=*) touch "${{word#*=}}/kafka_2.13-{version}.jar" ;; esac
done
"""
_ASK = "from services.kernel.adapters import broker_jars; print(broker_jars.jars())"


def test_those_who_ask_at_once_share_one_download(tmp_path: Path) -> None:
    calls, maven = tmp_path / "calls", tmp_path / "mvn"
    maven.write_text(_MAVEN.format(calls=calls, version="4.3.1"))
    maven.chmod(0o755)
    cache = tmp_path / "cache"
    variables = os.environ | {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(cache),
        "PYTHONPATH": ":".join(sys.path),
    }
    asking = [
        subprocess.Popen(  # noqa: S603 - our own words
            [sys.executable, "-c", _ASK], env=variables, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    told = {one.communicate(timeout=60)[0].strip() for one in asking}
    assert [one.returncode for one in asking] == [0, 0]
    (folder,) = map(Path, told)
    assert (folder / "kafka_2.13-4.3.1.jar").exists()
    assert len(calls.read_text().splitlines()) == 1
    assert [file.name for file in folder.parent.iterdir() if file.is_dir()] == [folder.name]
