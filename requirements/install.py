"""Call as ``pip install``: installs into the environment that runs this, with uv where it can.

uv takes a tenth of pip's time. It is installed first, in the version and with the hashes that are
pinned. pip does it where uv cannot be had, where pip is set up in a way that uv does not know, and
where uv fails.
"""

import ast
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

_PINS = Path(__file__).with_name("dev.txt")
_PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
# What pip is set up with, in uv's words; of the last two there may be several.
_UV_VARIABLES = {
    "cert": "SSL_CERT_FILE",
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
}
_SEPARATORS = {"extra-index-url": " ", "find-links": ","}
_PIP_ONLY = {"no-index", "proxy", "trusted-host", "client-cert"}
# Of pip's set-up, the weakest first, as pip has it.
_SECTIONS = ("global", "install", ":env:")


def uv_environment(pip_config: str, environment: Mapping[str, str]) -> dict[str, str] | None:
    """Return what uv must be told so that it looks where pip looks; None where it cannot be told.

    Args:
        pip_config: What ``pip config list`` prints.
        environment: What is told already; it wins.
    """
    lines = [line.partition("=") for line in pip_config.splitlines()]
    settings = {
        name.removeprefix(f"{section}."): str(ast.literal_eval(value))
        for section in _SECTIONS
        for name, _, value in lines
        if name.startswith(f"{section}.")
    }
    if _PIP_ONLY & settings.keys():
        return None
    for name in _SEPARATORS.keys() & settings.keys():
        settings[name] = _SEPARATORS[name].join(settings[name].split())
    told = {_UV_VARIABLES[name]: settings[name] for name in _UV_VARIABLES if name in settings}
    return told | dict(environment)


def pin_of(package: str, requirements: str) -> str:
    """Return the lines that pin one package, with its hashes."""
    found = re.search(rf"^{package}==(?:.*\\\n)*.*\n", requirements, flags=re.MULTILINE)
    if found is None:
        raise LookupError(f"{package} is not pinned")
    return found[0]


def _has_uv() -> bool:
    """Tell whether the pinned uv is there; install it where it is not."""
    pin = pin_of("uv", _PINS.read_text())
    try:
        if pin.startswith(f"uv=={metadata.version('uv')} "):
            return True
    except metadata.PackageNotFoundError:
        pass
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "uv.txt"
        file.write_text(pin)
        pinned = ("--require-hashes", "--only-binary", ":all:", "-r", str(file))
        return subprocess.run([*_PIP, "install", "-q", *pinned], check=False).returncode == 0


def _uv(arguments: list[str]) -> bool:
    """Install with uv; tell whether that was done."""
    listed = [*_PIP, "config", "list"]
    config = subprocess.run(listed, capture_output=True, text=True, check=False).stdout
    environment = uv_environment(config, os.environ)
    if environment is None or not _has_uv():
        return False
    uv = (sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable)
    return subprocess.run([*uv, *arguments], env=environment, check=False).returncode == 0


def main(arguments: list[str]) -> int:
    """Install; return the exit code."""
    if not sys.stderr.isatty():
        # Progress is for who watches; what goes wrong is said either way.
        arguments = ["--quiet", *arguments]
    if _uv(arguments):
        return 0
    sys.stderr.write("uv cannot, so pip installs; that takes longer\n")
    return subprocess.run([*_PIP, "install", *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
