"""What a request asks for, by transformers' names: prompts, options, processors."""
