"""TLS handshakes in memory."""

from __future__ import annotations

import ssl


class Handshake:
    """A client and a server that talk through two buffers; both are done."""

    def __init__(
        self, server: ssl.SSLContext, client: ssl.SSLContext, name: str | None = None
    ) -> None:
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = client.wrap_bio(to_client, to_server, server_hostname=name)
        self.server = server.wrap_bio(to_server, to_client, server_side=True)
        waiting = [self.client, self.server]
        failure: ssl.SSLError | None = None
        while waiting:
            end = waiting.pop(0)
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                waiting.append(end)
            except ssl.SSLError as error:
                # The other end is still to be told; what the client says comes first.
                if failure is not None or end is self.client:
                    raise
                failure = error
        if failure is not None:
            raise failure
        self.unread = to_client.pending

    def subject(self) -> str:
        certificate = self.client.getpeercert() or {}
        [[(_, name)]] = certificate["subject"]
        return str(name)
