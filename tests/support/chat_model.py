"""A tiny model with a chat template, and what transformers makes of chats and texts with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers as hf

from tests.support.tiny_models import TinyModels

_TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"


def make_chat_model(root: Path, name: str) -> Path:
    """The folder of such a model, under this name."""
    source = TinyModels(root)["gpt2"]
    folder = source.with_name(name)
    tokenizer = hf.AutoTokenizer.from_pretrained(source)
    tokenizer.chat_template = _TEMPLATE
    tokenizer.save_pretrained(folder)
    hf.AutoModelForCausalLM.from_pretrained(source).save_pretrained(folder)
    return folder


def chat_alone(
    folder: Path, messages: list[dict[str, str]], *, max_new_tokens: int = 12, **params: Any
) -> tuple[tuple[str, str], int, int]:
    """By transformers alone: text and reason, tokens in and out."""
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    read = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    return _generated(folder, tokenizer, read, max_new_tokens=max_new_tokens, **params)


def text_alone(
    folder: Path, prompt: str, *, max_new_tokens: int, **params: Any
) -> tuple[tuple[str, str], int, int]:
    """The same of a text."""
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    read = tokenizer(prompt, return_tensors="pt")
    return _generated(folder, tokenizer, read, max_new_tokens=max_new_tokens, **params)


def _generated(folder: Path, tokenizer: Any, read: Any, **params: Any) -> tuple[tuple[str, str], int, int]:
    model = hf.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    num_prompt = read["input_ids"].shape[1]
    made = model.generate(**read, do_sample=False, pad_token_id=0, **params)[0, num_prompt:].tolist()
    is_ended = made[-1] == tokenizer.eos_token_id
    # Decoded with the prompt, as it stands there: a character may have begun in it.
    prompt = tokenizer.decode(read["input_ids"][0], skip_special_tokens=True)
    whole = tokenizer.decode([*read["input_ids"][0].tolist(), *made], skip_special_tokens=True)
    return (whole[len(prompt) :], "stop" if is_ended else "length"), num_prompt, len(made)
