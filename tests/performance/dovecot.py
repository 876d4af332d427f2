"""Dovecot as a server under measurement: as Debian installs it, and tuned for speed.

Each set-up has a configuration, state and indexes of its own in a folder of the run; the
machine's own Dovecot, if there is one, is neither read nor touched. Dovecot 2.3.
"""

from __future__ import annotations

import grp
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from performance.certificate import Certificate
from performance.mailboxes import MAIL_USER, Mailboxes, user_name
from performance.native import PASSWORD, pinned
from performance.servers import CannotStart, Running, free_port, process, wait_for_port

PROGRAM = shutil.which("dovecot") or "/usr/sbin/dovecot"
POP3 = Path("/usr/lib/dovecot/pop3")

COMMON = """\
base_dir = {run}
state_dir = {state}
log_path = {state}/log
instance_name = {name}
protocols = pop3
listen = 127.0.0.1
disable_plaintext_auth = no
mail_location = maildir:{mail}/%u:INDEX={state}/index/%u:CONTROL={state}/control/%u
passdb {{
  driver = passwd-file
  args = {state}/passwd
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={mail}/%u
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {port}
  }}
  inet_listener pop3s {{
    port = {tls_port}
    ssl = yes
  }}
}}
"""
"""What any Dovecot needs to run here; all else is as installed."""

TLS = """\
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
"""
NO_TLS = "ssl = no\n"

MANY_SESSIONS = """\
service pop3-login {{
  process_limit = {sessions}
}}
service pop3 {{
  process_limit = {sessions}
}}
service auth {{
  client_limit = {clients}
}}
service anvil {{
  client_limit = {clients}
}}
service stats {{
  client_limit = {clients}
}}
"""
"""The limits alone, for more sessions at a time than the default lets in."""

TUNED = """\
service pop3-login {{
  service_count = 0
  process_min_avail = {cores}
  process_limit = {cores}
  client_limit = 15000
  vsz_limit = 2G
}}
service pop3 {{
  user = {mail_user}
  group = {mail_group}
  service_count = 0
  process_min_avail = {spare}
  process_limit = {sessions}
  vsz_limit = 2G
}}
service auth {{
  client_limit = {clients}
}}
service anvil {{
  client_limit = {clients}
}}
service stats {{
  client_limit = {clients}
}}
pop3_no_flag_updates = yes
pop3_fast_size_lookups = yes
maildir_very_dirty_syncs = yes
mmap_disable = no
mail_max_userip_connections = 0
"""
"""Processes are reused and start as the mail's user; limits are out of the way."""

WITHOUT_ROOT = """\
default_internal_user = {mail_user}
default_login_user = {mail_user}
default_internal_group = {mail_group}
service anvil {{
  chroot =
}}
service pop3-login {{
  chroot =
}}
service stats {{
  chroot =
}}
"""


@dataclass
class Dovecot:
    """A Dovecot set-up. ``password`` is as in its passwd-file, with its scheme."""

    folder: Path
    name: str
    tuned: bool = False
    password: str = "{PLAIN}" + PASSWORD
    extra: str = ""
    sessions: int = 0  # process limit, 0 for the set-up's own
    certificate: Certificate | None = None

    @contextmanager
    def running(self, mailboxes: Mailboxes, cores: Sequence[int]) -> Iterator[Running]:
        """Run it for all users of the set; it begins without indexes."""
        if not (Path(PROGRAM).exists() and POP3.exists()):
            raise CannotStart("Dovecot is missing: apt install dovecot-pop3d")
        state = self.folder / self.name
        # A folder of the run may have a name too long for a socket's path.
        run = Path(f"/tmp/valija-bench-{os.getpid()}-{self.name}")
        for folder in (state, run):
            shutil.rmtree(folder, ignore_errors=True)
        port, tls_port = free_port(), free_port()
        self._configure(state, run, mailboxes, cores, port, tls_port)
        log = state / "output"
        words = [*pinned(cores), PROGRAM, "-F", "-c", str(state / "dovecot.conf")]
        try:
            with process(words, log) as started:
                try:
                    wait_for_port(started, log, port)
                except CannotStart as error:
                    raise CannotStart(f"{error}\n{_end_of(state / 'log')}") from None
                yield Running(started, port, tls_port if self.certificate else None)
        finally:
            shutil.rmtree(run, ignore_errors=True)

    def _configure(
        self, state: Path, run: Path, mailboxes: Mailboxes, cores: Sequence[int], *ports: int
    ) -> None:
        state.mkdir(parents=True)
        for folder in (state / "index", state / "control"):
            folder.mkdir()
            os.chown(folder, MAIL_USER.pw_uid, MAIL_USER.pw_gid)
        passwd = "".join(
            f"{user_name(number)}:{self.password}::::::\n" for number in range(mailboxes.users)
        )
        (state / "passwd").write_text(passwd)
        sessions = self.sessions or 2000
        texts = [COMMON, TLS if self.certificate else NO_TLS]
        if self.tuned:
            texts.append(TUNED)
        elif self.sessions:
            texts.append(MANY_SESSIONS)
        if os.geteuid() != 0:
            texts.append(WITHOUT_ROOT)
        facts = {
            "run": run,
            "state": state,
            "name": self.name,
            "mail": mailboxes.mail,
            "uid": MAIL_USER.pw_uid,
            "gid": MAIL_USER.pw_gid,
            "port": ports[0],
            "tls_port": ports[1] if self.certificate else 0,
            "certificate": self.certificate and self.certificate.certificate,
            "key": self.certificate and self.certificate.key,
            "sessions": sessions,
            "spare": 50,
            "clients": 3 * sessions + 1000,
            "cores": max(len(cores), 1),
            "mail_user": MAIL_USER.pw_name,
            "mail_group": grp.getgrgid(MAIL_USER.pw_gid).gr_name,
        }
        text = "".join(text.format(**facts) for text in texts) + self.extra
        (state / "dovecot.conf").write_text(text)


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:] if log.exists() else ""
