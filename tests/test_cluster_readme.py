"""README commands that need a cluster are marked, and dry-run as far as goes without one."""

import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest

from cluster.cli.searches import cluster
from cluster.templates import KINDS

README = Path(__file__).resolve().parents[1] / "README.md"
BLOCK = re.compile(r"^```sh needs-cluster\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINES = [line for block in BLOCK.findall(README.read_text()) for line in block.splitlines()]


@pytest.mark.skipif(not LINES, reason="the README has no command that needs a cluster")
def test_every_command_that_needs_a_cluster_is_one_that_exists() -> None:
    written = {name for files in KINDS.values() for name in files.values()}
    for line in LINES:
        subprocess.run(["bash", "-n", "-c", line], check=True)
        words = shlex.split(line)
        if words[:2] == ["hscl", "cluster"]:
            command = cluster.commands[words[2]]
            assert isinstance(command, click.Command)
            command.make_context(words[2], list(words[3:]))  # reads the options, runs nothing
        for word in words:
            if word.startswith("cluster/"):
                assert word.removeprefix("cluster/") in written, line
