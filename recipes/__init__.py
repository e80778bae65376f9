"""How the bundled models were made: one recipe per task, run as `python -m recipes.<task>`."""
