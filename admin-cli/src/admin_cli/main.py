"""pop3ctl: the group of all commands, and the one place where everything ends."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import click

from admin_cli import __version__
from admin_cli.commands import Duration, Lazy, LazyGroup, json_option
from admin_cli.errors import Refused
from admin_cli.exit_codes import INTERNAL, INTERRUPTED, MEANINGS, USAGE

DEFAULT_TARGET = "127.0.0.1:50051"

COMMANDS: dict[str, Lazy] = {
    "login": Lazy("admin_cli.login:login", "Log in and keep the login."),
    "logout": Lazy("admin_cli.login:logout", "End the login that is kept."),
    "whoami": Lazy("admin_cli.login:whoami", "Show who you are and what you may do."),
    "status": Lazy("admin_cli.server:status", "Show the state of the service."),
    "accounts": Lazy("admin_cli.accounts:accounts", "Manage accounts and passwords."),
    "audit": Lazy("admin_cli.audit:audit", "Show and verify who did what."),
    "roles": Lazy("admin_cli.roles:roles", "Manage roles and their rights."),
    "sessions": Lazy("admin_cli.sessions:sessions", "Show and end POP3 sessions."),
    "me": Lazy("admin_cli.me:me", "Manage your own account."),
    "throttle": Lazy("admin_cli.throttle:throttle", "Show and end delays of wrong logins."),
    "settings": Lazy("admin_cli.server:settings", "Show and change settings."),
    "rules": Lazy("admin_cli.access:rules", "Allow and deny networks."),
    "bans": Lazy("admin_cli.access:bans", "Ban networks."),
    "why": Lazy("admin_cli.access:why", "Say what would happen to a login."),
    "certificates": Lazy("admin_cli.certificates:certificates", "Show and reload certificates."),
    "workers": Lazy("admin_cli.workers:workers", "Replace the worker processes."),
    "transform": Lazy("admin_cli.transforms:transform", "Pass mail through programs."),
    "tokens": Lazy("admin_cli.automation:tokens", "Make and revoke tokens for programs."),
    "maildrop": Lazy("admin_cli.maildrop:maildrop", "List, store and show messages."),
    "backup": Lazy("admin_cli.backup:backup", "Make and restore backups."),
    "completion": Lazy("admin_cli.completion:completion", "Print shell completion."),
}

EXAMPLES = (
    "pop3ctl login admin",
    "pop3ctl accounts add alice",
    "pop3ctl --json sessions list",
    "pop3ctl --target pop3-service:50051 status",
)

ENVIRONMENT: dict[str, str] = {
    "POP3CTL_TARGET": "where the service is, as HOST:PORT",
    "POP3CTL_TOKEN": "a token, instead of 'pop3ctl login'",
    "POP3CTL_TOKEN_FILE": "the file that keeps the login",
    "POP3CTL_TLS_CA": "authorities that vouch for the service: speak TLS",
    "POP3CTL_TLS_CERT": "a certificate to show to it",
    "POP3CTL_TLS_KEY": "its key",
    "POP3CTL_TLS_NAME": "the name in the service's certificate",
    "POP3CTL_USER": "without a kept login: log in as this for one command",
    "POP3CTL_PASSWORD[_FILE]": "its password, or a file with it",
    "POP3CTL_APOP_SECRET[_FILE]": "for 'accounts apop set'",
    "POP3CTL_NEW_PASSWORD[_FILE]": "for 'accounts add' and 'accounts change-password'",
}


class Pop3ctl(LazyGroup):
    """The program; its ``main`` turns every ending into an exit code."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command line and exit."""
        extra |= {"prog_name": "pop3ctl", "standalone_mode": False}
        sys.exit(_exit_code(lambda: super(Pop3ctl, self).main(*args, **extra)))

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Read the command line; it may print help."""
        with _quiet_about_closed_pipe():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _quiet_about_closed_pipe():
            return super().invoke(ctx)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what a script has to know."""
        with formatter.section("Examples"):
            for example in EXAMPLES:
                formatter.write(f"{' ' * formatter.current_indent}{example}\n")
        with formatter.section("Environment"):
            formatter.write_dl(list(ENVIRONMENT.items()))
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), text) for code, text in MEANINGS.items()])


@click.group(cls=Pop3ctl, table=COMMANDS, context_settings={"max_content_width": 100})
@click.option(
    "--target",
    envvar="POP3CTL_TARGET",
    default=DEFAULT_TARGET,
    show_default=True,
    metavar="HOST:PORT",
    help="Where the service's management port is.",
)
@click.option(
    "--timeout",
    type=Duration(0.001),
    default="10s",
    show_default=True,
    metavar="DURATION",
    help="How long a call may take, as 10s, 500ms or, in seconds, 1.5.",
)
@click.option(
    "--token-file",
    envvar="POP3CTL_TOKEN_FILE",
    metavar="FILE",
    help="Where the login is kept, instead of the user's state directory.",
)
@click.option(
    "--tls-ca",
    envvar="POP3CTL_TLS_CA",
    metavar="FILE",
    help="Speak TLS; the authorities, in PEM, that vouch for the service.",
)
@click.option(
    "--tls-cert", envvar="POP3CTL_TLS_CERT", metavar="FILE", help="A certificate to show to it."
)
@click.option(
    "--tls-key", envvar="POP3CTL_TLS_KEY", metavar="FILE", help="Its key (in the same file)."
)
@click.option(
    "--tls-name",
    envvar="POP3CTL_TLS_NAME",
    metavar="NAME",
    help="The name in the service's certificate, if it is not the target's.",
)
@click.version_option(__version__, message="pop3ctl %(version)s")
@click.pass_context
def cli(
    context: click.Context,
    /,
    target: str,
    timeout: float,
    token_file: str | None,
    **tls: str | None,
) -> None:
    """Administer Valija, the POP3 server, over gRPC.

    A password is never an option's value: it is read from a file, stdin, the environment, or
    asked for at a terminal.
    """
    from admin_cli.connection import with_options

    context.obj = with_options(target, timeout, token_file, tls)


cli.params.append(json_option())


def main() -> None:
    """Run pop3ctl; the entry point."""
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding lacks is shown as an escape.
        getattr(stream, "reconfigure", lambda **_: None)(errors="backslashreplace")
    cli.main()


def _exit_code(run: Callable[[], object]) -> int:
    """Run to the end, say how it ended, and give the exit code."""
    try:
        code = run()
        sys.stdout.flush()
    except (click.ClickException, Refused) as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return INTERRUPTED
    except OSError as error:
        click.echo(f"pop3ctl: {error}", err=True)
        return USAGE
    except Exception:
        traceback.print_exc()
        return INTERNAL
    return code if isinstance(code, int) else 0


@contextlib.contextmanager
def _quiet_about_closed_pipe() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        _drop_output()
        # click has an ending of its own for this error, with another exit code.
        raise click.Abort from None


def _drop_output() -> None:
    """Keep the interpreter from writing to the closed pipe once more when it exits."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
