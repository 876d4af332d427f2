"""Refused: how a failure of the service is told to a person or a script."""

from __future__ import annotations

import json

import click

from admin_cli.exit_codes import EXIT_CODES
from admin_cli.output import as_json, safe
from pop3mgmt.reasons import Reason

LOG_IN = "run 'pop3ctl login'"

HINTS: dict[Reason, str] = {
    Reason.INVALID_CREDENTIALS: LOG_IN,
    Reason.PERMISSION_DENIED: "'pop3ctl whoami' tells what you may do",
    Reason.ACCOUNT_NOT_FOUND: "'pop3ctl accounts list' shows the accounts",
    Reason.SESSION_NOT_FOUND: "'pop3ctl sessions list' shows the sessions",
    Reason.MESSAGE_NOT_FOUND: "'pop3ctl maildrop list' shows the messages",
    Reason.RULE_NOT_FOUND: "'pop3ctl rules list' shows the rules",
    Reason.BAN_NOT_FOUND: "'pop3ctl bans list' shows the bans and suspensions",
    Reason.APP_PASSWORD_NOT_FOUND: "'pop3ctl me app-passwords' shows them",
    Reason.PASSWORD_REFUSED: "'pop3ctl accounts password-policy' shows the rules",
    Reason.PASSWORD_EXPIRED: "run 'pop3ctl accounts change-password'",
    Reason.PASSWORD_MUST_CHANGE: "run 'pop3ctl accounts change-password'",
    Reason.CERTIFICATE_INVALID: "'pop3ctl certificates list' shows those in force",
    Reason.BACKUP_INVALID: "'pop3ctl backup verify' says what is in a file",
    Reason.BACKUP_NOT_FOUND: "'pop3ctl backup list' shows them",
    Reason.WORKERS_BUSY: "'pop3ctl status' shows how many are draining",
    Reason.ACCOUNT_LIMIT: "raise it with 'pop3ctl settings set max_accounts=...'",
    Reason.LAST_ADMIN: "make another admin first",
    Reason.LOGIN_THROTTLED: "wait before the next try",
    Reason.SERVICE_UNAVAILABLE: "does it run at {target}? --target or POP3CTL_TARGET says where,"
    " --tls-ca to speak TLS",
    Reason.DEADLINE_EXCEEDED: "try a longer --timeout",
}
"""What to do about it, where there is something to do."""


class Refused(Exception):
    """The service refused a call, or there is no login to make it with."""

    def __init__(self, reason: Reason, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.reason = reason
        self.exit_code = EXIT_CODES[reason]
        self.hint = hint
        # The context, which knows, is gone by the time this is shown.
        self.as_json = as_json()

    def show(self) -> None:
        """Print one line to stderr: for people, or one JSON object."""
        if self.as_json:
            facts = {"reason": self.reason.value, "message": self.text, "hint": self.hint}
            click.echo(json.dumps({"error": facts}), err=True)
            return
        advice = f"; {self.hint}" if self.hint else ""
        click.echo(f"pop3ctl: {safe(self.text + advice)}", err=True)
