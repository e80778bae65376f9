"""One thread computes for everybody: who is let in, whose turn it is, who waits."""
