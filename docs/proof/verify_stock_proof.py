"""Check what `oms stock proof` wrote. Needs Python 3.9 and nothing else, least of all So'OMS.

    python verify_stock_proof.py log FOLDER [SEALS]     the whole log, against seals kept elsewhere
    python verify_stock_proof.py entry FILE SEALS       one entry, against a seal kept elsewhere

SEALS is a seals.jsonl that was taken away when it was written. Without it, a log is only checked
against the seals beside it, which whoever changes the one can change too. Exit code 1 and one line
per fault when something was altered, removed or inserted.
"""

import json
import sys
from hashlib import sha256
from pathlib import Path

FIELDS = ("position", "stream", "version", "topic", "event_id", "recorded_at", "tenant")
FIELDS += ("cause", "state")
HIDDEN = {"position", "leaf"}  # somebody else's row: its digest is all we may see


def once(pairs):
    if len(dict(pairs)) < len(pairs):  # which of the two would a reader believe?
        raise ValueError("a field is given twice")
    return dict(pairs)


def parsed(text):
    return json.loads(text, object_pairs_hook=once)


def lines(path):
    return [parsed(line) for line in Path(path).read_text("utf-8").splitlines()]


def uncovered(row):
    """Say what a row shows that its digest is not of: nobody has sealed that."""
    if row.keys() - set(FIELDS):
        yield f"row {row['position']} shows other fields than its digest is of: " + ", ".join(
            sorted(row.keys() - set(FIELDS))
        )


def leaf(row):
    """Return the digest of what a row shows; a digest beside it is no proof of it."""
    parts = [str(row[field]).encode() for field in FIELDS]
    return sha256(b"\0" + b"".join(b"%d:%s," % (len(part), part) for part in parts)).digest()


def node(left, right):
    return sha256(b"\1" + left + right).digest()


def half(size):
    return 1 << (size - 1).bit_length() - 1


def roots(leaves, sizes):
    """Return the root of the first so many leaves, for each of these sizes."""
    found, peaks = {}, []
    for size, digest in enumerate(leaves, 1):
        peaks.append(digest)
        for _ in range((size & -size).bit_length() - 1):  # as many parts are complete now
            right = peaks.pop()
            peaks.append(node(peaks.pop(), right))
        if size in sizes:
            found[size] = peaks[-1]
            for peak in reversed(peaks[:-1]):
                found[size] = node(peak, found[size])
    return found


def root_by_path(index, size, digest, path):
    """Climb from a leaf to the root (RFC 6962, 2.1.1)."""
    if size == 1:
        return digest if not path else None
    if not path:
        return None
    middle = half(size)
    if index < middle:
        below = root_by_path(index, middle, digest, path[:-1])
        return below and node(below, path[-1])
    below = root_by_path(index - middle, size - middle, digest, path[:-1])
    return below and node(path[-1], below)


def roots_by_path(old, size, path, old_root):
    """Return the old and the new root that a consistency path comes to (RFC 6962, 2.1.2)."""
    if old == size:
        return (old_root, old_root) if old_root else (path[0], path[0])
    middle = half(size)
    if old <= middle:
        below = roots_by_path(old, middle, path[:-1], old_root)
        return below[0], node(below[1], path[-1])
    below = roots_by_path(old - middle, size - middle, path[:-1], None)
    return node(path[-1], below[0]), node(path[-1], below[1])


def faults_of_streams(told, digests):
    sealed = {each["stream"]: (each["version"], each["digest"]) for each in told}
    for stream in sorted(sealed.keys() | digests.keys()):
        version, digest = digests.get(stream, (0, bytes(32)))
        if sealed.get(stream) != (version, digest.hex()):
            yield f"{stream} is not what was sealed: {version} entries here"


def unsealed(count, trusted, seals, notes):
    """Say which rows no seal is of, or none that was kept elsewhere."""
    kept, beside = (max([each["size"] for each in some], default=0) for some in (trusted, seals))
    if count > max(kept, beside):
        yield f"rows from {max(kept, beside) + 1} on are sealed by nobody"
    elif count > kept:
        notes.append(f"rows from {kept + 1} on were only checked against the seals beside them")


def faults_of_log(folder, trusted, notes):
    rows, seals = lines(folder / "entries.jsonl"), lines(folder / "seals.jsonl")
    if not trusted:
        yield "there is no seal to check against: SEALS is empty"
        return
    unread = 0
    leaves, digests = [], {}
    for place, row in enumerate(rows, 1):
        wrong = [] if row.keys() == HIDDEN else [*uncovered(row)]
        if row["position"] != place:
            wrong = [f"row {place} says it is row {row['position']}"]
        if wrong:
            yield from wrong
            return
        if row.keys() == HIDDEN:
            unread += 1
            leaves.append(bytes.fromhex(row["leaf"]))
            continue
        leaves.append(leaf(row))
        version, before = digests.get(row["stream"], (0, bytes(32)))
        if row["version"] != version + 1:
            yield f"{row['stream']} goes from version {version} to {row['version']}"
        digests[row["stream"]] = row["version"], sha256(before + leaves[-1]).digest()
    yield from faults_of_streams(lines(folder / "streams.jsonl"), digests)
    here = roots(leaves, {seal["size"] for seal in [*trusted, *seals]})
    for seal in [*trusted, *(seal for seal in seals if seal not in trusted)]:
        if here.get(seal["size"], b"").hex() != seal["root"]:
            yield f"the first {seal['size']} rows are not those sealed on {seal['day']}"
    yield from unsealed(len(rows), trusted, seals, notes)
    if unread:
        notes.append(f"{unread} rows are only digests here: what they say was not checked")
    known = {seal["size"]: bytes.fromhex(seal["root"]) for seal in seals}
    for step in lines(folder / "consistency.jsonl"):
        old, new = known.get(step["from"]), known.get(step["to"])
        path = [bytes.fromhex(digest) for digest in step["path"]]
        if not old or not new or roots_by_path(step["from"], step["to"], path, old) != (old, new):
            yield f"{step['to']} rows do not begin with the {step['from']} sealed before"


def faults_of_entry(proof, trusted):
    roots = {(seal["size"], seal["root"]) for seal in trusted}
    if (proof["size"], proof["root"]) not in roots:
        yield f"nobody has sealed {proof['size']} rows as {proof['root']}"
    yield from uncovered(proof["entry"])
    path = [bytes.fromhex(digest) for digest in proof["path"]]
    index = proof["entry"]["position"] - 1
    if not 0 <= index < proof["size"]:
        yield f"row {index + 1} is not one of {proof['size']}"
    elif root_by_path(index, proof["size"], leaf(proof["entry"]), path) != bytes.fromhex(
        proof["root"]
    ):
        yield f"row {index + 1} is not what was sealed"


def main(arguments):
    if len(arguments) == 2 and arguments[0] == "log":
        arguments.append(Path(arguments[1]) / "seals.jsonl")
    if len(arguments) != 3 or arguments[0] not in ("log", "entry"):
        sys.exit(__doc__)
    kind, subject, seals = arguments
    notes = []
    try:
        found = list(
            faults_of_log(Path(subject), lines(seals), notes)
            if kind == "log"
            else faults_of_entry(parsed(Path(subject).read_text("utf-8")), lines(seals))
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        found = [f"cannot be read as a proof: {error!r}"]
    fine = "; ".join(["nothing was changed", *notes])
    sys.stdout.write("".join(f"{fault}\n" for fault in found) or f"{fine}\n")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
