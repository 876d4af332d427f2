"""Where certificates come from: files and folders that others write and swap.

A file is known by what ``stat`` tells of it, symbolic links followed: certbot swaps links.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lineproto.certificate_files import Identity, content, identity
from lineproto.tls import BadCertificate
from pop3_service.domain.errors import CertificateInvalid
from pop3_service.supervisor.tls.messages import PairOctets

CHAIN, KEY = "fullchain.pem", "privkey.pem"
"""How certbot names them."""


@dataclass(frozen=True, slots=True)
class PairFiles:
    """The files of one pair; both may be the same."""

    chain: Path
    key: Path

    def identity(self) -> tuple[Identity, Identity]:
        """Tell both files as they are now."""
        return identity(self.chain), identity(self.key)

    def read(self) -> PairOctets:
        """Read both files.

        Raises:
            CertificateInvalid: one cannot be read, or is none that could hold PEM.
        """
        try:
            return PairOctets(content(self.chain), content(self.key))
        except BadCertificate as error:
            raise CertificateInvalid(error.why, error.file) from None


Look = dict[PairFiles, tuple[Identity, Identity]]
"""All files there are to read, the default's first, each as it was at one moment."""


class CertificateFiles:
    """The configured files. Each call may wait for the disk."""

    def __init__(self, chain: Path | None, key: Path | None, folder: Path | None) -> None:
        """``folder`` has a sub-folder for each further pair."""
        self._default = PairFiles(chain, key or chain) if chain else None
        self.folder = folder

    def look(self) -> Look:
        """Tell what there is now.

        Raises:
            CertificateInvalid: the folder cannot be read.
        """
        found = [self._default] if self._default else []
        if self.folder:
            found += _in_folder(self.folder)
        return {files: files.identity() for files in found}

    def has_default(self) -> bool:
        """Whether the first pair is the one that was named."""
        return self._default is not None


def _in_folder(folder: Path) -> list[PairFiles]:
    try:
        inside = sorted(it for it in folder.iterdir() if it.name[0] != "." and it.is_dir())
    except OSError as error:
        raise CertificateInvalid(error.strerror or "unreadable", str(folder)) from None
    found = [PairFiles(it / CHAIN, it / KEY) for it in inside]
    return [files for files in found if any(files.identity())]
