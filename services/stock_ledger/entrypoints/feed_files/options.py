"""What an import is asked for, and by what it is known when it is asked for again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from services.stock_ledger.entrypoints.feed_files.calls import Basis
from services.stock_ledger.entrypoints.feed_files.columns import Kind

_READ_BYTES = 1 << 20
# Of how files become rows; a run that another version interrupted starts from the first row.
_READING = 3


@dataclass(frozen=True, slots=True)
class Options:
    """How to read and send a file.

    Attributes:
        quarantine: Where bad rows are written; absent afterwards when there are none.
        codes: GLN to site and GTIN to sku, for EDIFACT; what is not in it stands for itself.
        zone: Of the times in EDIFACT that are said without one.
        zones: The same by site, where it is known; it goes before ``zone``.
        former: Zones that such times may have been read in before: what was imported then and comes
            again is known by them. Those of ``zone`` and UTC always are.
        basis: For images and counts.
        metadata: Of every call; carries the API key.
        target: Of which ledger and whose books, in any words: an import that was interrupted goes
            on only where it began.
    """

    quarantine: Path
    codes: Mapping[str, str] = field(default_factory=dict[str, str])
    zone: str = "UTC"
    zones: Mapping[str, str] = field(default_factory=dict[str, str])
    former: Sequence[str] = ()
    basis: Basis = field(default_factory=Basis)
    metadata: Sequence[tuple[str, str]] = ()
    target: str = ""


def fingerprint_of(path: Path, kind: Kind, options: Options) -> str:
    """Return what is the same for the same rows: the file, and how it is read."""
    digest = blake2b(kind.name.encode(), digest_size=16)
    digest.update(repr((sorted(options.codes.items()), options.basis)).encode())
    if options.zone != "UTC":
        digest.update(repr(options.zone).encode())
    if options.zones:
        digest.update(repr(sorted(options.zones.items())).encode())
    if options.former:
        digest.update(repr(sorted(options.former)).encode())
    with path.open("rb") as file:
        while part := file.read(_READ_BYTES):
            digest.update(part)
    return digest.hexdigest()


def place_of(fingerprint: str, options: Options) -> str:
    """Return what an import must have in common with a cut one to go on where that was."""
    goes_to = f"{options.target}\n{options.quarantine.absolute()}"
    return f"{fingerprint}-{_READING}-{blake2b(goes_to.encode(), digest_size=8).hexdigest()}"
