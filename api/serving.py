"""How the served models stand, as this process can know it: from the ledger."""

from __future__ import annotations

from api.context import Context
from jobs.serving import Standing, standings

#: A worker signs every 3 s; one that missed so many is not there.
WORKER_AGE_SECONDS = 30.0


def how_models_stand(context: Context, *, max_age_seconds: float = WORKER_AGE_SECONDS) -> dict[str, Standing]:
    """Every model of the catalogue by name; waits for the database.

    Raises:
        StoreUnavailable: it does not answer.
    """
    beats = context.store.workers(max_age_seconds=max_age_seconds)
    return standings(context.catalogue, beats, context.store.kept_facts())
