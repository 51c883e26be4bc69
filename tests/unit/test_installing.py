"""How what it runs on is installed: by uv, from where pip is told to look, and else by pip."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "requirements/install.py"
INSTALL = runpy.run_path(str(SCRIPT))


HERE, THERE = "https://here.example/all", "https://there.example/all"


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ([], {}),
        (["global.timeout='60'"], {}),
        ([f"global.index-url='{HERE}'"], {"UV_DEFAULT_INDEX": HERE}),
        (
            [f"install.index-url='{THERE}'", f"global.index-url='{HERE}'"],
            {"UV_DEFAULT_INDEX": THERE},
        ),
        (
            [":env:.cert='/etc/our certificates.pem'", "global.cert='/etc/other.pem'"],
            {"SSL_CERT_FILE": "/etc/our certificates.pem"},
        ),
        (
            [rf"global.extra-index-url='\n{HERE}\n{THERE}'", "global.find-links='/one /other'"],
            {"UV_INDEX": f"{HERE} {THERE}", "UV_FIND_LINKS": "/one,/other"},
        ),
    ],
)
def test_uv_looks_where_pip_is_told_to_look(config: list[str], told: dict[str, str]) -> None:
    assert INSTALL["uv_environment"]("\n".join(config), {"PATH": "/bin"}) == {"PATH": "/bin"} | told


def test_what_uv_is_told_already_wins() -> None:
    told = {"UV_DEFAULT_INDEX": "https://told.example/all"}
    config = "global.index-url='https://packages.example/all'\n"
    assert INSTALL["uv_environment"](config, told) == told


@pytest.mark.parametrize("name", ["no-index", "proxy", "trusted-host", "client-cert"])
def test_what_only_pip_knows_is_left_to_pip(name: str) -> None:
    assert INSTALL["uv_environment"](f"global.{name}='1'\n", {}) is None


def test_uv_itself_is_installed_as_it_is_pinned() -> None:
    pins = (ROOT / "requirements/dev.txt").read_text()
    first, *rest = INSTALL["pin_of"]("uv", pins).splitlines()
    assert first.startswith("uv==")
    hashes = [line.strip().removesuffix(" \\") for line in rest if "--hash=" in line]
    assert hashes
    assert all(line.startswith("--hash=sha256:") for line in hashes)
    assert "==" not in "".join(rest)
    with pytest.raises(LookupError, match="nothing-of-the-kind"):
        INSTALL["pin_of"]("nothing-of-the-kind", pins)


@pytest.mark.parametrize(("of_pip_s", "by_pip"), [([], False), (["--progress-bar=off"], True)])
def test_pip_installs_what_uv_cannot(of_pip_s: list[str], *, by_pip: bool) -> None:
    command = [sys.executable, str(SCRIPT), "--dry-run", "--no-index", *of_pip_s, "pytest"]
    plain = os.environ | {"PIP_CONFIG_FILE": os.devnull}
    done = subprocess.run(  # noqa: S603 - our own script
        command, env=plain, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert ("pip installs" in done.stderr) is by_pip
