"""Turns by owner: slices know whose they are, and what is to be sent is found at once.

Revision 0006, after 0005.
"""

from alembic import op
import sqlalchemy as sa


revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None

_UNSENT = sa.text("state = 'waiting' AND sent_at IS NULL")
_SENT = sa.text("state = 'waiting' AND sent_at IS NOT NULL")
_INDEXES = {
    'slice_by_turn': (['state', 'owner', 'priority', 'model', 'number', 'job'], _UNSENT),
    'slice_by_age': (['state', 'owner', 'priority', 'model', 'job', 'number'], _UNSENT),
    'slice_by_sending': (['state', 'sent_at'], _SENT),
}


def upgrade() -> None:
    # Not in batch mode: on SQLite that would make the tables anew, and their end would cascade.
    op.add_column('job', sa.Column('estimated_tokens', sa.BigInteger(), server_default='0', nullable=False))
    op.add_column('slice', sa.Column('owner', sa.Text(), server_default='', nullable=False))
    op.execute('UPDATE slice SET owner = (SELECT job.owner FROM job WHERE job.id = slice.job)')
    for name, (columns, where) in _INDEXES.items():
        op.create_index(name, 'slice', columns, sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    for name in _INDEXES:
        op.drop_index(name, table_name='slice')
    op.execute('ALTER TABLE slice DROP COLUMN owner')
    op.execute('ALTER TABLE job DROP COLUMN estimated_tokens')
