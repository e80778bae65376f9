"""Run by Alembic inside the transaction that `jobs.store.migrate` opened."""

from __future__ import annotations

from alembic import context

from jobs.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
    transactional_ddl=True,
)
context.run_migrations()
