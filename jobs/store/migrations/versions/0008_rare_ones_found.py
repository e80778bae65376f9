"""Rare ones are found at once: jobs of a model or a task, results that are no success, an owner's open jobs.

Revision 0008, after 0007. With ten million results it takes some seconds; what runs goes on.
"""

from alembic import op
import sqlalchemy as sa


revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None

_INDEXES = {
    'job_unfinished_of_owner': ('job', ['owner', 'status'], sa.text('finished_at IS NULL')),
    'slice_of_model': ('slice', ['owner', 'model', 'job'], None),
    'slice_of_task': ('slice', ['owner', 'task', 'job'], None),
    'result_without_success': ('result', ['job', 'seq'], sa.text("status <> 'succeeded'")),
}


def upgrade() -> None:
    for name, (table, columns, where) in _INDEXES.items():
        op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    for name, (table, _, _) in _INDEXES.items():
        op.drop_index(name, table_name=table)
