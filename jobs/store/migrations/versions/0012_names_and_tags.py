"""Jobs have names and tags, by which they are found.

Revision 0012, after 0010.
"""

from alembic import op
import sqlalchemy as sa


revision = '0012'
down_revision = '0010'
branch_labels = None
depends_on = None

_ROW_ID = sa.BigInteger().with_variant(sa.Integer, 'sqlite')
_NAMED = sa.text('name IS NOT NULL')


def upgrade() -> None:
    op.add_column('job', sa.Column('name', sa.Text(), nullable=True))
    op.add_column('job', sa.Column('tags_json', sa.Text(), server_default='[]', nullable=False))
    op.create_index('job_by_name', 'job', ['owner', 'name', 'id'], sqlite_where=_NAMED, postgresql_where=_NAMED)
    op.create_index('job_by_public_id', 'job', ['owner', 'public_id'])
    op.create_table('job_tag',
    sa.Column('job', _ROW_ID, nullable=False),
    sa.Column('tag', sa.Text(), nullable=False),
    sa.Column('owner', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['job'], ['job.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('job', 'tag')
    )
    op.create_index('job_tag_by_owner', 'job_tag', ['owner', 'tag', 'job'])
    op.create_index('job_tag_by_tag', 'job_tag', ['tag', 'job'])


def downgrade() -> None:
    op.drop_table('job_tag')
    op.drop_index('job_by_public_id', table_name='job')
    op.drop_index('job_by_name', table_name='job')
    op.drop_column('job', 'tags_json')
    op.drop_column('job', 'name')
