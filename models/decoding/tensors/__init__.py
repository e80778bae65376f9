"""The tensors of a step, which never move."""
