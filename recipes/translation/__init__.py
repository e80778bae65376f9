"""Recipe: English to German, a small Marian model from scratch."""
