"""What OpenAI's clients send and read: files, batches and lines of their requests, to our rows and back."""
