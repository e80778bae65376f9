"""What was found out about a model when it was installed, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jobs.installed import InstalledModel
from textmill.terminal.words import duration, size

_WAYS = {
    "continuous": "by pages: documents join and leave at each step",
    "batches": "in batches",
    "batches of equal length": "in batches of equal length",
    "one at a time": "each document alone",
}
_SHOWN_CHARACTERS = 300


def found_out(model: InstalledModel) -> Iterator[tuple[str, str]]:
    """Label and text of each line."""
    facts, trial = model.proof["facts"], model.proof["trial"]
    chats = ", chats by its own template" if facts.get("has_chat_template") else ""
    yield "task", f"{model.task} ({facts['architecture']}{chats})"
    yield "precision", f"{facts['dtype']} on {facts['device']}{_why_so(model)}"
    yield (
        "size",
        (
            f"{facts['parameters'] / 1e6:,.1f} M parameters, {size(model.num_bytes)} on disk, "
            f"{size(facts['memory_bytes'])} in memory"
        ),
    )
    yield "digest", model.revision
    yield "licence", model.licence or "its source names none"
    yield "computed", _way(facts)
    for sentence in facts.get("notes") or ():
        yield "note", sentence
    yield "speed", _speed(trial, model.proof["load_seconds"])
    yield "asked", str(trial["asked"])
    yield "answered", _answer(trial["answered"])


def _why_so(model: InstalledModel) -> str:
    if model.proof.get("dtype"):
        return ", since in what would be chosen for this device it is not computed by pages"
    return "" if model.dtype else ", chosen for this device"


def _way(facts: Mapping[str, Any]) -> str:
    way = _WAYS.get(str(facts.get("way")), str(facts.get("way")))
    if not facts.get("proven"):
        proven = "not proven"
    elif tokens := facts.get("proven_tokens"):
        proven = f"proven up to {tokens:,} tokens, longer ones by the next slower way that is right"
    else:
        proven = "proven at every length"
    return f"{way}; {proven}" + (f" ({facts['why']})" if facts.get("why") else "")


def _speed(trial: Mapping[str, Any], load_seconds: float) -> str:
    text = f"{trial['documents_per_second']:.3g} documents/s"
    if trial.get("tokens_per_second"):
        text += f", {trial['tokens_per_second']:.3g} tokens/s written"
    return f"{text}, a few short ones together; loaded in {duration(load_seconds)}"


def _answer(output: Mapping[str, Any]) -> str:
    if "label" in output:
        return f"{output['label']} {output.get('score', 0):.3f}"
    text = " ".join(str(output.get("text", output.get("answer", ""))).split())
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
