"""Projects and keys: what owned jobs by the hash of a key becomes a project.

Revision 0007, after 0006.
"""

import secrets
import time

from alembic import op
import sqlalchemy as sa


revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('project',
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('fingerprint', sa.Text(), nullable=True),
    sa.Column('limits', sa.Text(), server_default='{}', nullable=False),
    sa.Column('created_at', sa.Double(), nullable=False),
    sa.PrimaryKeyConstraint('name'),
    sa.UniqueConstraint('fingerprint')
    )
    op.create_table('api_key',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('project', sa.Text(), nullable=True),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('prefix', sa.Text(), nullable=False),
    sa.Column('digest', sa.Text(), nullable=False),
    sa.Column('secret_id', sa.Text(), nullable=False),
    sa.Column('origin', sa.Text(), nullable=False),
    sa.Column('created_at', sa.Double(), nullable=False),
    sa.Column('ends_at', sa.Double(), nullable=True),
    sa.ForeignKeyConstraint(['project'], ['project.name']),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('digest')
    )
    op.create_index('ix_api_key_project', 'api_key', ['project'], unique=False)
    # Not in batch mode: on SQLite that would make the table anew, and its end would cascade.
    op.add_column('job', sa.Column('api_key', sa.Text(), nullable=True))
    op.add_column('job', sa.Column('stored_bytes', sa.BigInteger(), server_default='0', nullable=False))
    _owners_to_projects()


def _owners_to_projects() -> None:
    """Each owner of 0.1.0 is the plain hash of a key; its jobs go to a project that waits for that key."""
    project = sa.table('project', sa.column('name', sa.Text), sa.column('fingerprint', sa.Text),
                       sa.column('limits', sa.Text), sa.column('created_at', sa.Double))
    job = sa.table('job', sa.column('owner', sa.Text), sa.column('created_at', sa.Double))
    connection = op.get_bind()
    # What is submitted without a key has this owner, before and after.
    connection.execute(project.insert().values(name='', fingerprint=None, limits='{}', created_at=time.time()))
    owners = connection.execute(
        sa.select(job.c.owner, sa.func.min(job.c.created_at)).where(job.c.owner != '').group_by(job.c.owner)
    ).all()
    for fingerprint, created_at in owners:
        name = f'key-{secrets.token_hex(4)}'
        connection.execute(
            project.insert().values(name=name, fingerprint=fingerprint, limits='{}', created_at=created_at)
        )
        connection.execute(job.update().where(job.c.owner == fingerprint).values(owner=name))
    _owners_of_slices()


def _owners_of_slices() -> None:
    """Slices know whose they are from 0006 on."""
    op.execute('UPDATE slice SET owner = (SELECT job.owner FROM job WHERE job.id = slice.job) '
               "WHERE owner <> ''")


def downgrade() -> None:
    connection = op.get_bind()
    connection.execute(sa.text(
        'UPDATE job SET owner = (SELECT fingerprint FROM project WHERE project.name = job.owner) '
        'WHERE owner IN (SELECT name FROM project WHERE fingerprint IS NOT NULL)'
    ))
    _owners_of_slices()
    op.execute('ALTER TABLE job DROP COLUMN stored_bytes')
    op.execute('ALTER TABLE job DROP COLUMN api_key')
    op.drop_table('api_key')
    op.drop_table('project')
