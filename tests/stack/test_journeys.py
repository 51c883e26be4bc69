"""Every journey of the spine once more, now through twenty processes and a broker.

The last of them has `oms verify` look at everything that ran on the stack until then, the orders
among faults and the invoices of the tests before included.
"""

import pytest

from tests.e2e.test_one_order import *  # noqa: F403 - the very same tests; only `system` differs

pytestmark = [  # type: ignore[assignment]
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(600),
]
