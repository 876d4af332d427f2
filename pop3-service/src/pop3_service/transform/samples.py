"""Messages that a transform is tried on before it counts: what mail is like, and what is odd."""

from __future__ import annotations

import base64

_HEADER = (
    b"From: sample@example.org\r\nTo: user@example.org\r\n"
    b"Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-ID: <sample@example.org>\r\n"
)
_MIME = b"MIME-Version: 1.0\r\n"
_PDF = base64.encodebytes(b"%PDF-1.4\n" + bytes(range(256))).replace(b"\n", b"\r\n")

SAMPLES: dict[str, bytes] = {
    "text": _HEADER
    + b"Subject: A sample\r\n\r\n"
    + b"A transform is tried on this message before it takes effect.\r\nhttps://example.org/\r\n",
    "attachment": _HEADER
    + _MIME
    + b"Subject: =?utf-8?q?A_sample_with_an_attachment?=\r\n"
    + b'Content-Type: multipart/mixed; boundary="=_b"\r\n\r\n'
    + b"--=_b\r\nContent-Type: text/html; charset=utf-8\r\n"
    + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n<p>caf=C3=A9</p>\r\n"
    + b"--=_b\r\nContent-Type: application/pdf\r\n"
    + b'Content-Disposition: attachment; filename="sample.pdf"\r\n'
    + b"Content-Transfer-Encoding: base64\r\n\r\n"
    + _PDF
    + b"--=_b--\r\n",
    "8-bit": _HEADER
    + _MIME
    + b"Subject: caf\xc3\xa9\r\nContent-Type: text/plain; charset=iso-8859-1\r\n"
    + b"Content-Transfer-Encoding: 8bit\r\n\r\nEl ni\xf1o, \xfcber, \x00 and \xff\r\n",
    "line-ends": _HEADER
    + b"Subject: What looks like protocol\r\n\r\n.\r\n..two dots\n.\n\rbare CR\r.\r\n"
    + b"+OK no\r\nno end",
    "empty": _HEADER + b"Subject: Nothing in it\r\n\r\n",
}
"""By what they are called where one fails."""
