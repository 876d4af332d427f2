"""How the gateway passes on who its client is: metadata of each call.

The service believes it from who gives the secret as well, and refuses it from anybody else.
"""

from __future__ import annotations

SECRET_KEY = "x-valija-gateway"  # noqa: S105 - the key's name
"""The gateway's secret."""
CLIENT_KEY = "x-valija-client"
"""The client's address with its port, as ``192.0.2.7:51324`` or ``[2001:db8::7]:51324``."""
