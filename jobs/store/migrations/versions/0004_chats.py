"""Chats: a document may have messages instead of a text.

Revision 0004, after 0001.
"""

from alembic import op
import sqlalchemy as sa


revision = '0004'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Nullable and at the end: neither database copies the table.
    op.add_column('document', sa.Column('messages_json', sa.Text(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table('document', schema=None) as batch_op:
        batch_op.drop_column('messages_json')
