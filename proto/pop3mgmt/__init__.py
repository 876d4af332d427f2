"""The management contract: its messages (``v1``), reasons, errors and client."""
