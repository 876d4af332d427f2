"""Dovecot, as Debian has it, as the server that people move in from: its own mail, its own ids.

Its configuration, state and mail are in a folder of the test; the machine's own Dovecot, if there
is one, is neither read nor touched.
"""

from __future__ import annotations

import grp
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from performance.dovecot import POP3, PROGRAM, WITHOUT_ROOT
from performance.mailboxes import MAIL_USER
from performance.servers import process, wait_for_port
from support.ports import kept_port

ADMIN = shutil.which("doveadm") or "/usr/bin/doveadm"
IS_INSTALLED = all(Path(it).exists() for it in (PROGRAM, POP3, ADMIN))

CONFIGURATION = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
instance_name = valija-moving
protocols = pop3
listen = 127.0.0.1
disable_plaintext_auth = no
ssl = no
auth_username_chars =
mail_location = maildir:{folder}/mail/%u
passdb {{
  driver = passwd-file
  args = {folder}/passwd
}}
userdb {{
  driver = passwd-file
  args = {folder}/passwd
  default_fields = uid={uid} gid={gid} home={folder}/mail/%u
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {port}
  }}
}}
"""


@dataclass(frozen=True)
class Dovecot:
    """A running Dovecot."""

    folder: Path
    port: int

    @property
    def mail(self) -> Path:
        return self.folder / "mail"

    @property
    def passwd(self) -> Path:
        return self.folder / "passwd"

    def deliver(self, user: str, message: bytes) -> None:
        """Let Dovecot store a message."""
        words = [ADMIN, "-c", str(self.folder / "conf"), "save", "-u", user]
        subprocess.run(words, input=message, check=True, capture_output=True)


def password_hash(scheme: str, password: str) -> str:
    """Let Dovecot hash a password; gives it with its scheme."""
    words = [ADMIN, "pw", "-s", scheme, "-p", password]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


@contextmanager
def running(users: Mapping[str, str]) -> Iterator[Dovecot]:
    """Run Dovecot; ``users`` are the rest of each one's line in its passwd-file."""
    # Short, since sockets' paths are; and where the mail's user may go.
    folder = Path(tempfile.mkdtemp(prefix="valija-moving-", dir="/tmp"))
    port = kept_port()
    try:
        folder.chmod(0o755)
        for name in ("run", "state", "mail"):
            (folder / name).mkdir()
        os.chown(folder / "mail", MAIL_USER.pw_uid, MAIL_USER.pw_gid)
        (folder / "passwd").write_text("".join(f"{name}:{it}\n" for name, it in users.items()))
        text = CONFIGURATION.format(
            folder=folder, port=port, uid=MAIL_USER.pw_uid, gid=MAIL_USER.pw_gid
        )
        if os.geteuid() != 0:
            group = grp.getgrgid(MAIL_USER.pw_gid).gr_name
            text += WITHOUT_ROOT.format(mail_user=MAIL_USER.pw_name, mail_group=group)
        (folder / "conf").write_text(text)
        log = folder / "output"
        with process([PROGRAM, "-F", "-c", str(folder / "conf")], log) as started:
            wait_for_port(started, log, port)
            yield Dovecot(folder, port)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
