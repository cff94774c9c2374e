"""Reads the Retry-After header (RFC 9110, section 10.2.3): seconds or an HTTP date, anything else is no advice."""

from __future__ import annotations

import email.utils
from datetime import UTC, datetime


def seconds(value: str | None, *, now: datetime | None = None) -> float | None:
    """How long to wait, never negative; None when the header is absent or makes no sense."""
    text = (value or "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit() and len(text) <= 12:
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())
