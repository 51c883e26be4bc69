"""Every journey of the spine once more, now through twenty processes and a broker."""

import pytest

from tests.e2e.test_one_order import *  # noqa: F403 - the very same tests; only `system` differs

pytestmark = [  # type: ignore[assignment]
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(600),
]
