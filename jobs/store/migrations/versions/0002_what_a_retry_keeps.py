"""What a retry keeps.

Revision 0002, after 0001.
"""

from alembic import op
import sqlalchemy as sa


revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Not in batch mode: on SQLite that would make the table anew, and its end would cascade.
    op.add_column('job', sa.Column('kept_documents', sa.Integer(), server_default='0', nullable=False))
    op.add_column('job', sa.Column('kept_tokens', sa.BigInteger(), server_default='0', nullable=False))


def downgrade() -> None:
    op.execute('ALTER TABLE job DROP COLUMN kept_tokens')
    op.execute('ALTER TABLE job DROP COLUMN kept_documents')
