"""Which GS1 EDIFACT documents are meant to be posted: originals of no test interchange."""

from services.stock_ledger.entrypoints.feed_files.cells import Fault

_LONGEST = 100
ORIGINAL = "9"
_FUNCTIONS = {
    "1": "a cancellation",
    "3": "a deletion",
    "4": "a change",
    "5": "a replacement",
    "7": "a duplicate",
    "31": "a copy",
}
# Where an interchange says that it is a test: the eleventh element of its head.
TEST = (10, 0)
TEST_FAULT = Fault(
    "interchange: is a test (UNB), so nothing of it is posted",
    "send it without the test indicator if it is meant",
)


def function_fault(number: str, function: str) -> Fault:
    """Return what is wrong with a document that is no original."""
    what = _FUNCTIONS.get(function, "no original")
    return Fault(
        f"document: {number[:_LONGEST]} has function code {function[:9]!r} (BGM): it is {what}",
        "send what is different from what was posted as an original (9) with a number of its own;"
        " if nothing is, there is nothing to do",
    )
