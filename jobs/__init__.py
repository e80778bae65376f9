"""What a job is and where it is kept. No HTTP, no torch."""
