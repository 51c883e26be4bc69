"""What a check has to say beside violations."""


class Remark(str):
    """A sentence among those of a check that is no violation: what it left out, and why."""

    __slots__ = ()
