"""The service as a whole."""

from __future__ import annotations

from lineproto.reply import Listing, Ok, Reply
from pop3mgmt.client import Caller
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from pop3mgmt.v1.server_pb2 import Certificate, Settings, TransformedMail
from scmp_gateway.acts.transform_activations import activation_line
from scmp_gateway.command import Line, number
from scmp_gateway.times import show_time


async def status(caller: Caller, line: Line) -> Reply:
    """The state of the service."""
    now = await caller.get_status()
    uptime = now.status_time.ToDatetime() - now.start_time.ToDatetime()
    lines = [
        f"version: {now.version}",
        f"uptime-seconds: {int(uptime.total_seconds())}",
        f"total-connections: {now.total_connection_count}",
        f"current-connections: {now.current_connection_count}",
        f"logged-in-sessions: {now.logged_in_session_count}",
        f"bytes-transmitted: {now.sent_bytes}",
        f"messages-sent: {now.sent_message_count}",
        f"messages-deleted: {now.deleted_message_count}",
        f"refused-logins: {now.refused_login_count}",
        f"accounts: {now.account_count}",
        f"workers: {now.worker_count}",
        f"draining-workers: {now.draining_worker_count}",
        f"worker-restarts: {now.worker_restart_count}",
        f"transform: {now.transform or 'off'}",
        f"transforms-active: {now.transforms.activation_count}",
    ]
    lines += [f"transform-trial: {activation_line(it)}" for it in now.transforms.trials]
    lines.append(f"canaries-given-up: {now.transforms.given_up_canary_count}")
    lines.append(f"transform-isolation: {now.transforms.isolation or '-'}")
    if now.HasField("transformed_mail"):
        lines.append(f"transformed-mail: {_transformed(now.transformed_mail)}")
    lines += [f"certificate: {_certificate(it)}" for it in now.certificates]
    if now.HasField("management_certificate_not_after_time"):
        end = show_time(now.management_certificate_not_after_time)
        lines.append(f"management-certificate: until={end}")
    return Listing("status follows", lines + [f"warning: {text}" for text in now.warnings])


def _transformed(mail: TransformedMail) -> str:
    ahead = "on" if mail.ahead else "off"
    return (
        f"ahead={ahead} waiting={mail.waiting_count} done={mail.done_count}"
        f" failed={mail.failed_count} octets={mail.used_bytes} limit={mail.limit_bytes}"
    )


async def max_users(caller: Caller, line: Line) -> Reply:
    """Read or set the largest number of accounts."""
    if not line.words:
        return Ok(f"{(await caller.get_settings()).max_accounts} accounts at most")
    limit = number(line.words[0])
    if limit is None or limit >= 2**31:
        raise ManagementError(Reason.INVALID_ARGUMENT, "the maximum is a whole number")
    settings = await caller.update_settings(Settings(max_accounts=limit), ["max_accounts"])
    return Ok(f"{settings.max_accounts} accounts at most")


async def certificates(caller: Caller, line: Line) -> Reply:
    """The certificates in force, the default first."""
    found = await caller.list_certificates()
    return Listing(f"{len(found)} certificates in force", [_certificate(it) for it in found])


async def reload_certificates(caller: Caller, line: Line) -> Reply:
    """Read the certificates' files again."""
    return Ok(f"{len(await caller.reload_certificates())} certificates in force")


async def restart_workers(caller: Caller, line: Line) -> Reply:
    """Replace the worker processes."""
    return Ok(f"{await caller.restart_workers()} workers replaced")


def _certificate(certificate: Certificate) -> str:
    end = show_time(certificate.not_after_time)
    return f"{','.join(certificate.names) or '-'} until={end}"
