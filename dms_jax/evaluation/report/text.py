"""How a page writes names and numbers."""

from __future__ import annotations

import json
from typing import Any


def printable(name: str) -> str:
    """A name with what UTF-8 cannot hold, as of a file of another encoding, written out."""
    return name.encode("utf-8", "backslashreplace").decode()


def shown_number(value: float | None) -> str:
    """A number for a page: counts as they are, others with four decimals, and n/a for None."""
    if value is None:
        return "n/a"
    return str(value) if isinstance(value, int) else f"{value:.4f}"


def script_json(value: Any) -> str:
    """JSON without a character that could end a script element or begin a comment in it."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
