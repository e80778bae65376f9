"""What workers told of the models they loaded, kept for when none of them runs."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from jobs.records import ModelFacts
from jobs.store import tables as t
from jobs.store.codec import from_json, to_json
from jobs.store.database import Database


def keep_facts(database: Database, told: ModelFacts) -> None:
    """Replaces what was known of the model."""

    def work(connection: Connection) -> None:
        values = {
            "name": told.name,
            "ref": told.ref,
            "revision": told.revision,
            "facts": to_json(dict(told.facts)),
            "told_at": database.now(connection),
        }
        statement = database.insert(t.model_facts).values(values)
        connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))

    database.write(work)


def known_facts(connection: Connection) -> dict[str, Any]:
    """The facts of each model, by its name."""
    rows = connection.execute(select(t.model_facts.c.name, t.model_facts.c.facts))
    return {row.name: from_json(row.facts) for row in rows}


def kept_facts(database: Database) -> list[ModelFacts]:
    """What is known, of every model that was ever loaded under its name."""

    def work(connection: Connection) -> list[ModelFacts]:
        rows = connection.execute(select(t.model_facts).order_by(t.model_facts.c.name))
        return [
            ModelFacts(name=row.name, ref=row.ref, revision=row.revision, facts=from_json(row.facts))
            for row in rows
        ]

    return database.read(work)
