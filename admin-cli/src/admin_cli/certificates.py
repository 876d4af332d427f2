"""certificates: what the service shows its clients in TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from admin_cli.commands import Noun
from admin_cli.connection import call
from admin_cli.output import Column, Record, local_time, show_list, timestamp

if TYPE_CHECKING:
    from pop3mgmt.v1.server_pb2 import Certificate

COLUMNS = (
    Column("names", "NAMES", lambda names: ",".join(names) or "-"),
    Column("is_default", "DEFAULT", lambda is_default: "yes" if is_default else "-"),
    Column("not_after_time", "EXPIRES", local_time),
    Column("issuer", "ISSUER"),
    Column("source_file", "FILE"),
)


@click.group(cls=Noun)
def certificates() -> None:
    """Show the TLS certificates, and have them read again."""


@certificates.command(
    "list",
    calls=("ServerService/ListCertificates",),
    examples=(
        "pop3ctl certificates list",
        "pop3ctl certificates list --json | jq -r '.[].not_after_time'",
    ),
)
def list_certificates() -> None:
    """List the certificates in force, the default first. None means that TLS is off."""
    found = call(lambda caller: caller.list_certificates())
    show_list(map(certificate_record, found), COLUMNS)


@certificates.command(
    "reload", calls=("ServerService/ReloadCertificates",), examples=("pop3ctl certificates reload",)
)
def reload_certificates() -> None:
    """Read their files again, and list those in force then.

    The service does so by itself when the files change. What cannot be used is refused, and the
    certificate before it stays; open sessions go on with the one they began with.
    """
    found = call(lambda caller: caller.reload_certificates())
    show_list(map(certificate_record, found), COLUMNS)


def certificate_record(certificate: Certificate) -> Record:
    """Give a certificate's values under their names in the contract."""
    return {
        "names": list(certificate.names),
        "not_before_time": timestamp(certificate.not_before_time),
        "not_after_time": timestamp(certificate.not_after_time),
        "issuer": certificate.issuer,
        "self_signed": certificate.self_signed,
        "is_default": certificate.is_default,
        "source_file": certificate.source_file,
        "fingerprint": certificate.fingerprint,
    }


def show_certificates(found: list[Record]) -> str:
    """Write what is in force in a line."""
    told = [
        f"{', '.join(it['names']) or '-'} until {local_time(it['not_after_time'])}" for it in found
    ]
    return "; ".join(told) or "none, TLS is off"
