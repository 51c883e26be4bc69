"""What a faster clock put ahead of ours has happened now: movements and images alike.

Both, because one source stamps both: were only its images taken back to now, a count would come to
lie before the sale that it has seen, and the sale would be counted twice. What is told again may be
that much later than what was counted, so a repeat stays a repeat whatever now is.
"""

from dataclasses import replace
from datetime import datetime

from services.stock_ledger.domain.postings import Post
from services.stock_ledger.domain.stock_commands import Movement, Observe


def post_by(post: Post, now: datetime) -> Post:
    """Return a post whose reports are of now at the latest."""
    if all(report.occurred_at <= now for report in post.reports):
        return post
    reports = [
        report if report.occurred_at <= now else replace(report, occurred_at=now)
        for report in post.reports
    ]
    return replace(post, reports=tuple(reports))


def movement_by(movement: Movement, now: datetime) -> Movement:
    """Return a movement of now at the latest."""
    if isinstance(movement, Post):
        return post_by(movement, now)
    return movement if movement.occurred_at <= now else replace(movement, occurred_at=now)


def image_by(image: Observe, now: datetime) -> Observe:
    """Return an image or count of now at the latest."""
    return image if image.occurred_at <= now else replace(image, occurred_at=now)
