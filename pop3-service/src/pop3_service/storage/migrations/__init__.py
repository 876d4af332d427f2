"""Schema migrations, oldest first; Alembic runs them."""
