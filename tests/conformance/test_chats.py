"""Documents that are chats, in both databases."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import text

from jobs.records import NewDocument, NewJob, Task
from jobs.store import migrations
from jobs.store.database import Database
from jobs.store.migrate import migrate
from tests.support.ledger import Ledger

CHAT = [{"role": "system", "content": ""}, {"role": "user", "content": "¿Qué?\n \U0001f600 \\u0041"}]


def _new(seq: int, **fields: object) -> NewDocument:
    return NewDocument(seq=seq, custom_id=str(seq), task=Task.GENERATION, model="m", **fields)  # type: ignore[arg-type]


def test_a_chat_reaches_its_worker_as_it_was_sent(ledger: Ledger) -> None:
    job = ledger.store.submit(NewJob(), [_new(0, text="", messages=CHAT), _new(1, text="plain")])[0]
    leases = [ledger.claimed(key) for key in ledger.keys(job)]
    found = {document.seq: document for lease in leases for document in lease.documents}
    assert (found[0].text, found[0].messages) == ("", CHAT)
    assert (found[1].text, found[1].messages) == ("plain", None)


def test_documents_that_were_stored_before_there_were_chats_are_kept(
    ledger: Ledger, database_url: str
) -> None:
    job = ledger.submit(2)
    database = Database(database_url)
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))

    def downgrade(connection):  # type: ignore[no-untyped-def]
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
        return connection.execute(text("SELECT * FROM document")).keys()

    assert "messages_json" not in database.write(downgrade)
    migrate(database)
    database.close()
    documents = [document for key in ledger.keys(job) for document in ledger.claimed(key).documents]
    assert [(each.text, each.messages) for each in documents] == [("text 0", None), ("text 1", None)]
