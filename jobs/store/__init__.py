"""Where jobs are kept: one interface, one SQLAlchemy implementation on two databases."""
