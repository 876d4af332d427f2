"""``python -m pop3_service`` is ``pop3d``."""

from pop3_service.cli import main

main()
