"""What may be stored, and under which name."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.adapters.event_codec import EventCodec
from services.kernel.domain.errors import Invalid


@dataclass(frozen=True, slots=True)
class Told:
    text: str


CODEC = EventCodec({"story.told.v1": Told})


@given(st.text(alphabet=st.sampled_from('\\u0"x\0'), max_size=12))
def test_no_zero_byte_is_stored_and_all_else_comes_back(text: str) -> None:
    """A read model that shows it could never go on: no table can keep one."""
    if "\0" in text:
        with pytest.raises(Invalid, match="zero byte"):
            CODEC.encode(Told(text))
    else:
        assert CODEC.decode(*CODEC.encode(Told(text))) == Told(text)
