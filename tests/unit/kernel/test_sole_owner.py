"""One process per data folder."""

from pathlib import Path

import pytest

from services.kernel.main.embedded import AlreadyRunning, sole_owner


def test_a_second_process_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with sole_owner(tmp_path), pytest.raises(AlreadyRunning, match="OMS_DATA_HOME"):
        sole_owner(tmp_path).__enter__()


def test_the_folder_is_free_again_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with sole_owner(tmp_path / "made" / "here"):
            pass
