"""What tells one transform's results from another's: its argvs, and the very programs.

A program that is replaced is another transform. What a program reads besides, such as a script's
modules or its configuration, is not looked at: who changes that makes a new version.
"""

from __future__ import annotations

import hashlib
import os

from pop3_service.transform.command_line import find_program

Programs = tuple[tuple[str, ...], ...]
"""A chain: an argv each."""


def fingerprint(programs: Programs) -> str:
    """Give a chain's fingerprint in hex digits; looks at the disk.

    Raises:
        TransformInvalid: one of the programs is not there.
    """
    digest = hashlib.blake2b(digest_size=16)
    for argv in programs:
        path = find_program(argv)
        status = os.stat(path)
        file = (path, str(status.st_size), str(status.st_mtime_ns), str(status.st_ino))
        for words in (argv, file):
            digest.update(b"%d\n" % len(words))
            for word in words:
                octets = os.fsencode(word)
                digest.update(b"%d:" % len(octets) + octets)
    return digest.hexdigest()
