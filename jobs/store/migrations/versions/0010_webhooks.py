"""Webhooks, and what is delivered to them.

Revision 0010, after 0009.
"""

from alembic import op
import sqlalchemy as sa


revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None

_ROW_ID = sa.BigInteger().with_variant(sa.Integer, 'sqlite')
_INDEXES = {
    'webhook_by_owner': ('webhook', ['owner', 'job'], None),
    'webhook_by_job': ('webhook', ['job'], None),
    'delivery_due': ('webhook_delivery', ['next_at'], sa.text("state = 'waiting'")),
    'delivery_of_webhook': ('webhook_delivery', ['webhook', 'id'], None),
    'delivery_of_job': ('webhook_delivery', ['job'], None),
    'delivery_by_end': ('webhook_delivery', ['ended_at'], sa.text('ended_at IS NOT NULL')),
}


def upgrade() -> None:
    op.create_table('webhook',
    sa.Column('id', _ROW_ID, autoincrement=True, nullable=False),
    sa.Column('public_id', sa.Text(), nullable=False),
    sa.Column('owner', sa.Text(), nullable=False),
    sa.Column('job', _ROW_ID, nullable=True),
    sa.Column('url', sa.Text(), nullable=False),
    sa.Column('events_json', sa.Text(), nullable=False),
    sa.Column('secret', sa.Text(), nullable=False),
    sa.Column('old_secret', sa.Text(), nullable=True),
    sa.Column('old_secret_ends_at', sa.Double(), nullable=True),
    sa.Column('created_at', sa.Double(), nullable=False),
    sa.Column('failing_since', sa.Double(), nullable=True),
    sa.Column('disabled_at', sa.Double(), nullable=True),
    sa.Column('disabled_for', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['job'], ['job.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('public_id'),
    sqlite_autoincrement=True
    )
    op.create_table('webhook_delivery',
    sa.Column('id', _ROW_ID, autoincrement=True, nullable=False),
    sa.Column('public_id', sa.Text(), nullable=False),
    sa.Column('webhook', _ROW_ID, nullable=False),
    sa.Column('job', _ROW_ID, nullable=True),
    sa.Column('event_id', sa.Text(), nullable=False),
    sa.Column('type', sa.Text(), nullable=False),
    sa.Column('body', sa.Text(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('tries', sa.Integer(), nullable=False),
    sa.Column('lease', sa.BigInteger(), nullable=False),
    sa.Column('next_at', sa.Double(), nullable=False),
    sa.Column('created_at', sa.Double(), nullable=False),
    sa.Column('tried_at', sa.Double(), nullable=True),
    sa.Column('ended_at', sa.Double(), nullable=True),
    sa.Column('http_status', sa.Integer(), nullable=True),
    sa.Column('error', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['webhook'], ['webhook.id'], ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['job'], ['job.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('public_id'),
    sqlite_autoincrement=True
    )
    for name, (table, columns, where) in _INDEXES.items():
        op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    op.drop_table('webhook_delivery')
    op.drop_table('webhook')
