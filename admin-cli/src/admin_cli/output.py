"""Everything that pop3ctl prints: one record, as a table for people or as JSON for scripts.

A record is a dict with stable keys; JSON is the record itself, a table is a view of it.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

Record = dict[str, Any]

_AS_JSON = "admin_cli.as_json"
_UNITS = ("KiB", "MiB", "GiB", "TiB")


def want_json(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Note ``--json``, wherever on the command line it was given."""
    if wanted:
        context.meta[_AS_JSON] = True


def as_json() -> bool:
    """Say whether this command prints JSON."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_AS_JSON))


# --- text ---


def safe(text: str) -> str:
    """Give text that cannot steer a terminal: what does not print is written as an escape."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


def width(text: str) -> int:
    """Count the terminal columns that text takes."""
    return sum(
        0 if unicodedata.combining(letter) else 1 + (unicodedata.east_asian_width(letter) in "WF")
        for letter in text
    )


def timestamp(moment: Timestamp) -> str | None:
    """Give a time as RFC 3339 in UTC; None when it is not set."""
    if not moment.seconds and not moment.nanos:
        return None
    return rfc3339(moment.ToDatetime(UTC))


def rfc3339(moment: datetime) -> str:
    """Give a time in UTC, as JSON has it."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def local_time(moment: str | None) -> str:
    """Give a record's time as the reader's clock shows it."""
    if moment is None:
        return "-"
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def size(octets: int) -> str:
    """Give a count of octets in the unit that reads best."""
    if octets < 1024:
        return f"{octets} B"
    power = min((octets.bit_length() - 1) // 10, len(_UNITS))
    return f"{octets / 1024**power:.1f} {_UNITS[power - 1]}"


def yes_or_no(fact: bool) -> str:
    """Give a fact as a word."""
    return "yes" if fact else "no"


def text_or_dash(text: str) -> str:
    """Give text, or a dash where there is none, so that a column is never blank."""
    return text or "-"


# --- records ---


@dataclass(frozen=True, slots=True)
class Column:
    """One value of a record as people see it; ``width`` is for tables that grow line by line."""

    key: str
    title: str
    show: Callable[[Any], str] = str
    right: bool = False
    width: int = 0

    def cell(self, record: Record) -> str:
        """Give the record's value, safe to print."""
        return safe(self.show(record[self.key]))


def show_list(records: Iterable[Record], columns: Sequence[Column]) -> None:
    """Print records: a table with a header, or a JSON array."""
    found = list(records)
    if as_json():
        click.echo(json.dumps(found, indent=2))
        return
    rows = [[column.title for column in columns]]
    rows += [[column.cell(record) for column in columns] for record in found]
    widths = [max(width(row[at]) for row in rows) for at in range(len(columns))]
    for row in rows:
        click.echo(_line(row, widths, columns))


def show_line(record: Record, columns: Sequence[Column], *, header: bool) -> None:
    """Print one record of many to come: a table line, or one JSON object a line."""
    if as_json():
        click.echo(json.dumps(record))
        return
    widths = [max(width(column.title), column.width) for column in columns]
    if header:
        click.echo(_line([column.title for column in columns], widths, columns))
    click.echo(_line([column.cell(record) for column in columns], widths, columns))


def show_facts(record: Record, columns: Sequence[Column]) -> None:
    """Print one record: a line for each value, or a JSON object."""
    if as_json():
        click.echo(json.dumps(record, indent=2))
        return
    left = max(width(column.title) for column in columns)
    for column in columns:
        click.echo(f"{column.title}{' ' * (left - width(column.title))}  {column.cell(record)}")


def show_done(record: Record, sentence: str) -> None:
    """Print what was done: a sentence, or the record as a JSON object."""
    click.echo(json.dumps(record, indent=2) if as_json() else safe(sentence))


def note(sentence: str) -> None:
    """Tell a person something beside the result, on stderr; scripts are spared it."""
    if not as_json():
        click.echo(safe(sentence), err=True)


def show_octets(chunks: Iterable[bytes]) -> None:
    """Write octets as they are; on a terminal, with escapes for what could steer it."""
    if not sys.stdout.isatty():
        stream = sys.stdout.buffer
        for chunk in chunks:
            stream.write(chunk)
        stream.flush()
        return
    text = b"".join(chunks).decode("utf-8", "backslashreplace")
    for line in text.replace("\r\n", "\n").split("\n"):
        click.echo("\t".join(safe(word) for word in line.split("\t")))


def _line(cells: Sequence[str], widths: Sequence[int], columns: Sequence[Column]) -> str:
    padded = []
    for cell, room, column in zip(cells, widths, columns, strict=True):
        space = " " * (room - width(cell))
        padded.append(space + cell if column.right else cell + space)
    return "  ".join(padded).rstrip()
