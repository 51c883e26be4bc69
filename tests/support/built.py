"""Every service put together without a database, for tests that look at what it is made of."""

import os
from functools import cache
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

from services.kernel.application.clock import SystemClock
from services.kernel.main import SERVICES, Kernel, Service, builder

_SECRETS = {"OMS_DELIVERY_PICKUP_CODE_SECRET": "only-for-tests-0123456789abcdef-0123456789"}


@cache
def built(name: str) -> Service:
    """Build a service on a kernel that can do nothing: enough to ask what it declares."""
    nothing = cast("Any", SimpleNamespace(sql=None))
    with patch.dict(os.environ, _SECRETS):
        return builder(name)(
            Kernel(nothing, nothing, SystemClock(), dict.fromkeys(SERVICES, "127.0.0.1:1"))
        )
