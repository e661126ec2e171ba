"""The command `hscl`: finds the subcommands that each package brings, and reports errors."""

import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points, version

import click

from hscl.cli.interrupts import interrupts_kept
from hscl.errors import HsclError, InputError, RunError, did_you_mean, visible
from hscl.uris import refuse_credentials

__all__ = ["Group", "main", "run_command"]

_GROUP = "hscl.commands"
_INTERRUPTED = 130


class Group(click.Group):
    """A group of commands that names the nearest one where there is none of a name."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is named first."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            ctx.fail(
                f"There is no command {name!r}; {did_you_mean(name, self.list_commands(ctx))}"
            )
        return super().resolve_command(ctx, args)


class _Commands(Group):
    """Subcommands from the entry-point group `hscl.commands`, each loaded when it is named."""

    @property
    def _found(self) -> dict[str, EntryPoint]:
        return {entry.name: entry for entry in entry_points(group=_GROUP)}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._found)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self._found.get(cmd_name)
        if entry is None:
            return None
        command = entry.load()
        if not isinstance(command, click.Command):
            raise click.ClickException(f"{entry.value} must be a command, but is {command!r}")
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("hscl-search"), prog_name="hscl")
def hscl() -> None:
    """Seed-robust hyperparameter search for HSCL, multimodal sentiment analysis.

    From a feature file to a configuration with its evidence: data convert, data check, search,
    compare, export, train, predict.
    """


def main(args: list[str] | None = None) -> None:
    """Run the command `hscl` and leave with its exit code.

    Args:
        args: The command line after the program's name; None takes the process's own.

    Raises:
        SystemExit: Always, with the exit code.
    """  # noqa: DOC502 - raised by run_command
    run_command(hscl, "hscl", args)


def run_command(command: click.Command, name: str, args: list[str] | None = None) -> None:
    """Run a command as a program and leave with its exit code.

    0 done; 1 failed while running, or a condition asked for does not hold; 2 wrong usage or bad
    input; 130 interrupted. Errors are one message on standard error, never a traceback.

    Args:
        command: The command.
        name: What its usage lines call it.
        args: The command line after the program's name; None takes the process's own.

    Raises:
        SystemExit: Always, with the exit code.
    """
    given = sys.argv[1:] if args is None else args
    try:
        for argument in given:  # before anything can repeat one in a message
            refuse_credentials(argument)
        with interrupts_kept():
            left = command.main(args=list(given), prog_name=name, standalone_mode=False)
    except HsclError as error:
        said = f"{error}{_way_round(error, command, name, given)}"
        click.echo(f"hscl: error: {visible(said)}", err=True)
        raise SystemExit(error.exit_code) from None
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    except (KeyboardInterrupt, click.Abort):
        click.echo("hscl: interrupted; everything so far is kept", err=True)
        # An interrupt within text that was executed, as by dataclasses while torch is imported,
        # leaves a mark by which `python -m` dies of SIGINT in the end; the next text takes it off.
        exec("")  # noqa: S102 - CPython's run_eval_code_obj
        raise SystemExit(_INTERRUPTED) from None
    except BrokenPipeError:
        # The reader (head, less) has gone: nothing left to say, and Python must not say so either.
        sys.stdout = None
        raise SystemExit(0) from None
    except OSError as error:  # a disk that is full or gone, anywhere
        click.echo(
            f"hscl: error: {visible(str(error))}; what was written before is kept", err=True
        )
        raise SystemExit(RunError.exit_code) from None
    # Outside of standalone mode click returns the code of `ctx.exit`, or the command's result.
    raise SystemExit(left if isinstance(left, int) else 0)


def _way_round(error: HsclError, command: click.Command, name: str, given: Sequence[str]) -> str:
    """The command that avoids an error, where one of its settings does."""
    setting = error.setting if isinstance(error, InputError) else None
    if setting is None or not isinstance(command, click.Group) or not given:
        return ""
    asked = command.get_command(click.Context(command), given[0])
    if asked is None or not any("--set" in option.opts for option in asked.params):
        return ""
    return f": {shlex.join([name, *given, '--set', setting])}"
