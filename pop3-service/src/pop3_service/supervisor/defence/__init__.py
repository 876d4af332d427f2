"""Who is held up, kept out and written down."""
