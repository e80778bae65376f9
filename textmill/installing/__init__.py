"""`textmill models add`: from a name, a folder or a hub id to a model that is installed and proven."""
