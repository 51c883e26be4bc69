"""Every journey of the spine once more, now through sixteen services' processes and a broker."""

from tests.e2e.test_one_order import *  # noqa: F403 - the very same tests; only `system` differs
