"""How answers look: progress, tables, errors, files."""
