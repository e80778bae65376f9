"""Cancels and expiries of one row, retries in blocks; indexes that skip what is done.

Revision 0005, after 0004.
"""

from alembic import op
import sqlalchemy as sa


revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('job', sa.Column('reopen_from', sa.Integer(), nullable=True))
    op.add_column('job', sa.Column('close_from', sa.Integer(), nullable=True))
    # A cancel used to be filled in by sweeps: the job's own row tells the rest now.
    op.execute(
        "UPDATE job SET status = 'cancelled', cancelled = total - succeeded - failed - expired, "
        "finished_at = COALESCE(finished_at, started_at, created_at), version = version + 1 "
        "WHERE status = 'cancelling'"
    )
    op.drop_index('ix_job_status', 'job')
    unfinished = sa.text('finished_at IS NULL')
    op.create_index(
        'job_unfinished', 'job', ['status', 'id'], sqlite_where=unfinished, postgresql_where=unfinished
    )
    op.create_index('job_by_status', 'job', ['owner', 'status', 'id'])
    op.create_index('job_by_end', 'job', ['finished_at'])
    op.create_index('job_by_tidiness', 'job', ['close_from'])
    op.drop_index('slice_by_state', 'slice')
    op.create_index('slice_by_job_state', 'slice', ['state', 'job', 'sent_at', 'number'])


def downgrade() -> None:
    op.drop_index('slice_by_job_state', 'slice')
    op.create_index('slice_by_state', 'slice', ['state', 'job'])
    op.drop_index('job_by_tidiness', 'job')
    op.drop_index('job_unfinished', 'job')
    op.create_index('ix_job_status', 'job', ['status'])
    op.drop_index('job_by_end', 'job')
    op.drop_index('job_by_status', 'job')
    op.execute('ALTER TABLE job DROP COLUMN close_from')
    op.execute('ALTER TABLE job DROP COLUMN reopen_from')
