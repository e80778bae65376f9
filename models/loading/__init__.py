"""From a folder or a hub's id to a model in memory."""
