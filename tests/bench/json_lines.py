"""Files of JSON lines that measurements add to, and that a kill may cut."""

import json
from pathlib import Path
from typing import Any

__all__ = ["read_lines"]


def read_lines(file: Path) -> list[Any]:
    """What the lines of a file hold, if there is one; a last line that was cut is taken off."""
    if not file.exists():
        return []
    text = file.read_text()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        file.write_text(whole)
    return [json.loads(line) for line in whole.splitlines()]
