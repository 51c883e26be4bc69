"""``python -m contracts.describe``: write the documents of the feeds, from the root."""

from contracts.describe.documents import ROOT, documents

for name, text in documents().items():
    (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
    (ROOT / name).write_text(text)
