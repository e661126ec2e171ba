"""The command line, run in this process."""

import pytest

from hscl.cli.main import main


class Hscl:
    """Runs a command in this process."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        self._capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        out, err = self._capfd.readouterr()
        return int(left.value.code or 0), out, err
