"""Tables that people write beside the features, as CSV: their lines as text, by column name."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hscl.errors import InputError, did_you_mean

__all__ = ["csv_lines"]


def csv_lines(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The lines of a CSV file in UTF-8, with or without a byte order mark.

    Args:
        path: The file.
        needed: Columns that must be there; others may be.

    Yields:
        Number of the line in the file and its texts by column: None where the line is too short,
        and a list under the name None where it is too long.

    Raises:
        InputError: It can't be read, is no CSV file in UTF-8, or lacks a column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            names = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = names
            for name in needed:
                if name not in names:
                    listed = (" and " if len(needed) == 2 else ", ").join(needed)
                    raise InputError(
                        f"{path} must have the columns {listed}; {name!r} is missing "
                        f"({did_you_mean(name, names)})."
                    )
            for line in reader:
                yield reader.line_num, line
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} must be a CSV file in UTF-8: {error}.") from None
