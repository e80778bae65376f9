"""Files that clients send, and batches made of them.

Revision 0009, after 0008.
"""

from alembic import op
import sqlalchemy as sa


revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None

_ROW_ID = sa.BigInteger().with_variant(sa.Integer, 'sqlite')
_INDEXES = {
    'file_by_age': ('file', ['owner', 'created_at', 'public_id'], None),
    'file_not_here': ('file', ['stage'], sa.text("stage <> 'here'")),
    'file_by_expiry': ('file', ['expires_at'], sa.text('expires_at IS NOT NULL')),
    'batch_by_age': ('batch', ['owner', 'id'], None),
    'batch_by_request': ('batch', ['owner', 'request_sha256'], None),
    'batch_by_results': ('batch', ['job'], sa.text('results_seconds IS NOT NULL AND job IS NOT NULL')),
}


def upgrade() -> None:
    op.create_table('file',
    sa.Column('id', _ROW_ID, autoincrement=True, nullable=False),
    sa.Column('public_id', sa.Text(), nullable=False),
    sa.Column('owner', sa.Text(), nullable=False),
    sa.Column('api_key', sa.Text(), nullable=True),
    sa.Column('filename', sa.Text(), nullable=False),
    sa.Column('purpose', sa.Text(), nullable=False),
    sa.Column('stage', sa.Text(), nullable=False),
    sa.Column('num_bytes', sa.BigInteger(), nullable=False),
    sa.Column('num_blocks', sa.Integer(), nullable=False),
    sa.Column('created_at', sa.Double(), nullable=False),
    sa.Column('expires_at', sa.Double(), nullable=True),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('public_id'),
    sqlite_autoincrement=True
    )
    op.create_table('file_block',
    sa.Column('file', _ROW_ID, nullable=False),
    sa.Column('number', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('data', sa.LargeBinary(), nullable=False),
    sa.ForeignKeyConstraint(['file'], ['file.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('file', 'number')
    )
    op.create_table('batch',
    sa.Column('id', _ROW_ID, autoincrement=True, nullable=False),
    sa.Column('public_id', sa.Text(), nullable=False),
    sa.Column('owner', sa.Text(), nullable=False),
    sa.Column('job', _ROW_ID, nullable=True),
    sa.Column('endpoint', sa.Text(), nullable=False),
    sa.Column('input_file', sa.Text(), nullable=True),
    sa.Column('completion_window', sa.Text(), nullable=False),
    sa.Column('results_seconds', sa.Integer(), nullable=True),
    sa.Column('metadata_json', sa.Text(), nullable=False),
    sa.Column('request_sha256', sa.Text(), nullable=True),
    sa.Column('created_at', sa.Double(), nullable=False),
    sa.Column('problems_json', sa.Text(), nullable=True),
    sa.Column('ended_json', sa.Text(), nullable=True),
    sa.Column('sizes_json', sa.Text(), nullable=True),
    sa.Column('gone_json', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['job'], ['job.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('public_id'),
    sa.UniqueConstraint('job'),
    sqlite_autoincrement=True
    )
    for name, (table, columns, where) in _INDEXES.items():
        op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    op.drop_table('batch')
    op.drop_table('file_block')
    op.drop_table('file')
