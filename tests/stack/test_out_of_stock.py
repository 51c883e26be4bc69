"""The last units, sold once, however many processes decide about them."""

from tests.e2e.test_last_units import *  # noqa: F403 - the very same tests; only `system` differs
