"""What Alembic runs: always on a connection that `schema.migrate` opened, within its transaction."""

from alembic import context

from pegel.alerter.database.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
