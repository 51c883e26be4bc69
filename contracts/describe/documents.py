"""Every document of the feeds, by its path from the root."""

import tomllib
from pathlib import Path

from contracts.describe.asyncapi import asyncapi
from contracts.describe.comments import comments_of
from contracts.describe.pages import overview, page
from services.kernel.main.feed_directory import feeds

ROOT = Path(__file__).parents[2]
_CONTRACTS = ROOT / "contracts"


def documents() -> dict[str, str]:
    """Return what the documents must say."""
    every = feeds()
    comments = comments_of(_CONTRACTS / "proto")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {
        "contracts/asyncapi.yaml": asyncapi(
            every, comments, _CONTRACTS / "proto", project["version"]
        ),
        "docs/feeds/README.md": overview(every),
        **{
            f"docs/feeds/{feed.publisher}.md": page(feed, comments, _CONTRACTS / "examples")
            for feed in every
        },
    }
