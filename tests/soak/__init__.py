"""An hour of mixed load against a real `textmill up` while its processes are killed: `make soak`."""
