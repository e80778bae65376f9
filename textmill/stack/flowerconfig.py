"""Flower as Textmill ships it; passed with `--conf`. Address and port come on the command line.

Arguments of a slice read `64 documents · opus-mt-en-de · slice 7 of job_42`,
and its result its progress, so these two columns say what is going on.
"""

import os
from pathlib import Path

tasks_columns = "name,state,args,result,received,started,runtime,worker,retries"
natural_time = True
auto_refresh = True
max_tasks = 100_000
purge_offline_workers = 600  # seconds: a worker that was restarted leaves a dead twin behind

# Flower keeps its history as pickles, which run code when they are read, and knows nothing that SQL does not.
persistent = False

# user:password from a file, as Docker mounts secrets: on the command line everybody could read it.
if _file := os.environ.get("FLOWER_BASIC_AUTH_FILE"):
    basic_auth = Path(_file).read_text(encoding="utf-8").split()
