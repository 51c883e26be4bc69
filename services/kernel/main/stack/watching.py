"""What a person is told while the stack starts and stops: a line per process and change."""

import contextlib
import subprocess
import time
from pathlib import Path

from services.kernel.main.console import errors
from services.kernel.main.stack import state as states
from services.kernel.main.stack.state import StackState, StateFile
from services.kernel.settings import StackSettings

_LOOK_S = 0.2
# Beyond what each process may take: PostgreSQL's and the broker's own stops.
_STOP_MARGIN_S = 60.0
_LAST_LINES = 5


def follow(file: StateFile, keeper: "subprocess.Popen[bytes]") -> StackState:
    """Tell what starts until all is up or the keeper has given up; return the last state."""
    told: dict[str, str] = {}
    said = 0
    while True:
        ended = keeper.poll() is not None
        state = file.read()
        if state is not None:
            said = _tell_changes(state, told, said)
            if state.phase in (states.UP, states.FAILED):
                return state
        if ended:
            was_stopped = state is not None and state.phase == states.DOWN
            return StackState(
                phase=states.FAILED, problem="it was told to stop meanwhile" if was_stopped else ""
            )
        time.sleep(_LOOK_S)


def _tell_changes(state: StackState, told: dict[str, str], said: int) -> int:
    for caveat in state.caveats[said:]:
        errors.print(caveat, markup=False, highlight=False)
    for name, process in state.processes.items():
        if process.state != told.get(name, states.DOWN):
            told[name] = process.state
            more = " ".join(filter(None, (process.http or process.grpc, process.detail)))
            pid = f"pid {process.pid}" if process.pid else ""
            errors.print(
                f"· {name:<22}{process.state:<10}{pid:<12}{more}".rstrip(),
                markup=False,
                highlight=False,
            )
    return len(state.caveats)


def watch_end(file: StateFile, state: StackState) -> tuple[StackState, bool]:
    """Tell what stops; return the last state, and whether the keeper ended in time."""
    pid, born = state.pid, state.born  # it writes others down when it ends
    within_s = 3 * StackSettings().stops_within_s + _STOP_MARGIN_S
    ends = time.monotonic() + within_s
    told = {name: process.state for name, process in state.processes.items()}
    while time.monotonic() < ends:
        is_over = not states.is_same(pid, born)
        state = file.read() or state
        _tell_changes(state, told, len(state.caveats))
        if is_over:
            return state, True
        time.sleep(_LOOK_S)
    return state, False


def last_words(log: Path, begins_at: int) -> str:
    """Return what the keeper said last to people: not its log's records, nor an earlier one's."""
    with contextlib.suppress(FileNotFoundError), log.open("rb") as text:
        text.seek(begins_at)
        lines = text.read().decode(errors="replace").splitlines()
        told = [line for line in lines if line.strip() and not line.startswith("{")]
        if told:
            return " / ".join(told[-_LAST_LINES:]).removeprefix("oms: ")
    return f"nothing said, see {log}"
