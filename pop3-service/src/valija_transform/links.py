"""Links: how they are told without being links, and where text holds any."""

from __future__ import annotations

import re

LONGEST = 300
"""Characters of a target that are shown."""
_SCHEME = re.compile(r"([a-z][a-z0-9+.\-]*):", re.IGNORECASE)
_SAFE = frozenset({"mailto", "tel", "cid", "mid"})
_PICTURE = re.compile(r"data:image/(?:png|gif|jpe?g|webp|bmp)[;,]", re.IGNORECASE)
_IN_TEXT = re.compile(
    r"(https?|ftps?|wss?|file)(:[/\\]{1,3})([^\s<>\"'/\\?#)\]]{0,255})"
    r"|(?<![A-Za-z0-9+.\-])(?:(www)\.([^\s<>\"'/\\?#)\]]{1,255})"
    r"|(javascript|vbscript):(?=\S)|(data):(?=[a-z]{1,20}/[a-z]))",
    re.IGNORECASE,
)
_HARMLESS = {"http": "hxxp", "https": "hxxps", "ftp": "fxp", "ftps": "fxps"}


def tidy(url: str) -> str:
    """Give a URL as a browser takes it: no white space around it, no line end or tab in it."""
    return re.sub(r"[\t\r\n]", "", url).strip("".join(map(chr, range(0x21))))


def is_safe(url: str) -> bool:
    """Whether following a link leads nowhere on the network and runs nothing."""
    url = tidy(url)
    if not url or url.startswith("#"):
        return True
    found = _SCHEME.match(url)
    return found is not None and found[1].lower() in _SAFE


def is_own_picture(url: str) -> bool:
    """Whether a picture comes with the mail: a part of it, or pixels in the address itself."""
    url = tidy(url)
    found = _SCHEME.match(url)
    if found and found[1].lower() in ("cid", "mid"):
        return True
    return _PICTURE.match(url) is not None


def runs(value: str) -> bool:
    """Whether a value is a URL that holds a program or a document itself."""
    found = _SCHEME.match(tidy(value))
    return found is not None and found[1].lower() in (
        "javascript",
        "vbscript",
        "data",
        "livescript",
    )


def harmless(url: str) -> str:
    """Tell a target so that no program takes it for a link."""
    url = tidy(url)
    if len(url) > LONGEST:
        url = url[:LONGEST] + "..."
    told = harmless_text(url)
    if told == url:
        found = _SCHEME.match(url)
        told = f"{found[1]}[:]{url[found.end() :]}" if found else url.replace(".", "[.]")
    return told


def harmless_text(text: str) -> str:
    """Tell a text's links so that no program takes them for such; twice is as once."""
    return _IN_TEXT.sub(_defused, text)


def _defused(found: re.Match[str]) -> str:
    scheme, slashes, host, www, rest, script, data = found.groups()
    if scheme:
        other = _HARMLESS.get(scheme.lower())
        return (other + slashes if other else f"{scheme}[:]{slashes[1:]}") + _dots(host)
    return f"{www}[.]{_dots(rest)}" if www else f"{script or data}[:]"


def _dots(host: str) -> str:
    """Take the dots of a host name out of service; those that are so already stay."""
    return re.sub(r"(?<!\[)\.(?!\])", "[.]", host)
