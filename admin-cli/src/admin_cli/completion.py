"""Shell completion: the script that a shell is to load."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from admin_cli.commands import Command


@click.command(
    cls=Command,
    calls=(),
    examples=(
        'eval "$(pop3ctl completion bash)"',
        "pop3ctl completion zsh > ~/.zfunc/_pop3ctl",
        "pop3ctl completion fish > ~/.config/fish/completions/pop3ctl.fish",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}")
    script = kind(context.find_root().command, {}, "pop3ctl", "_POP3CTL_COMPLETE")
    # Not source(): it would start the shell to ask for its version.
    click.echo(script.source_template % script.source_vars())
