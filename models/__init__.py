"""What a model is and how a batch is computed. No Celery, Redis, SQL or HTTP."""
