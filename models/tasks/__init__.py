"""What goes in and what comes out: a file or folder for each task."""
