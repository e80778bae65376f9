"""The console in a real Chromium, at the widths of a phone and of a desk (`make test-browser`)."""
