"""The first engine, for what pages do not serve yet."""
