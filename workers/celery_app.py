"""The Celery app of a worker: `celery -A workers.celery_app:app`, or `python -m workers`.

Importing it reads settings and catalogue, and loads no model: Flower imports it too.
"""

from __future__ import annotations

from jobs.broker import make_celery, num_threads
from jobs.catalogue import Catalogue
from jobs.settings import Settings
from workers.broker_link import survive_a_lost_redis
from workers.remote_control import allow_inspection_only

settings = Settings.load()
catalogue = Catalogue.load(settings)
app = make_celery(settings, catalogue)
app.conf.update(
    # Many slices wait on one device loop; threads share its warm models, and no
    # process is forked after CUDA has started.
    worker_pool="threads",
    worker_concurrency=num_threads(settings.concurrency),
    # Signals are ours (workers/lifecycle.py): a remapped SIGTERM exits in mid-slice.
    imports=["workers.tasks"],
    worker_state_db=None,
    worker_proc_alive_timeout=60,
    # A slice outlives a broken link: its lease is in SQL. (Said aloud: the default will change.)
    worker_cancel_long_running_tasks_on_connection_loss=False,
)
app.set_default()
allow_inspection_only()
survive_a_lost_redis()
