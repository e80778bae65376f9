"""Who decodes next, and with which pages: policy without torch."""
