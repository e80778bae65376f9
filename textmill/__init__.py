"""The user's side: command line, Python client, and the supervisor behind `textmill up`."""
