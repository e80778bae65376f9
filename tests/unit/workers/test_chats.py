"""Chats on their way from the ledger to the engine."""

from __future__ import annotations

from jobs.records import NewDocument, NewJob, Task
from models.records import DocumentInput, DocumentOutput
from tests.support.engines import FakeEngine
from tests.unit.workers.conftest import Bench

CHAT = [{"role": "user", "content": "Hello"}]


def test_a_chat_is_handed_to_the_engine_as_it_was_stored(bench: Bench) -> None:
    class Repeats(FakeEngine):
        def answer(self, document: DocumentInput) -> DocumentOutput:
            return DocumentOutput(key=document.key, output={"said": document.messages, "text": document.text})

    bench.engine = Repeats()
    bench.start()
    chat = NewDocument(seq=0, custom_id="a", task=Task.SENTIMENT, model="m", text="", messages=CHAT)
    job = bench.ledger.store.submit(NewJob(), [chat])[0]
    assert bench.run_of(job).run()["succeeded"] == 1
    assert bench.ledger.store.results(job.id)[0].output == {"said": CHAT, "text": ""}
