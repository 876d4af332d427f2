"""The start check of the mail folder: can it be used, and if not, what exactly mends it."""

from __future__ import annotations

import os
from pathlib import Path

from pop3_service.domain.errors import MaildropUnavailable


def check_mail_root(root: Path) -> None:
    """Check that this process may read, write and enter the mail folder.

    Raises:
        MaildropUnavailable: it may not; the text gives the command that mends it.
    """
    if not root.is_dir():
        raise MaildropUnavailable(f"the mail folder {root} is missing; make it: mkdir -p {root}")
    if os.access(root, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        return
    uid, gid = os.geteuid(), os.getegid()
    raise MaildropUnavailable(
        f"the mail folder {root} cannot be used by uid {uid}; on the host, in the folder of"
        f" docker-compose.yml, run: sudo chown -R {uid}:{gid} maildir-volume"
    )
