"""One certificate for all servers, made on the spot: ECDSA P-256, signed by itself."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """The files of a certificate and its key."""

    certificate: Path
    key: Path


def make_certificate(folder: Path) -> Certificate | None:
    """Make a certificate for this run; None where there is no ``openssl``."""
    program = shutil.which("openssl")
    if program is None:
        return None
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    words = [program, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    words += ["-nodes", "-days", "30", "-subj", "/CN=pop.test", "-addext"]
    words += ["subjectAltName=DNS:pop.test,IP:127.0.0.1"]
    words += ["-keyout", str(made.key), "-out", str(made.certificate)]
    subprocess.run(words, check=True, capture_output=True)
    return made
