"""Who could read the transform while it was a setting still can, where a role says so."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    roles = sa.table("roles", sa.column("name"), sa.column("rights"))
    connection = op.get_bind()
    for name, stored in connection.execute(sa.select(roles.c.name, roles.c.rights)).all():
        rights = set(json.loads(stored))
        if "settings.read" in rights and "transform.read" not in rights:
            rights.add("transform.read")
            connection.execute(
                sa.update(roles)
                .where(roles.c.name == name)
                .values(rights=json.dumps(sorted(rights)))
            )
