"""Whether a folder holds a model that can be loaded, as far as its files tell without torch."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jobs.records import Task

Finding = tuple[str, str]  #: what is wrong, and what to do

_LFS = b"version https://git-lfs"
_OTHER_WEIGHTS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack", "*.gguf", "*.onnx")
_TOKENIZERS = (
    "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.*", "*.tiktoken", "*.spm",
    "spiece.model", "sentencepiece*.model", "*.bpe.model", "prophetnet.tokenizer", "*.vocab",
)  # fmt: skip
_NEED_NO_FILES = {"canine"}  # its tokens are characters
_AUTO_CLASSES = {
    Task.GENERATION: "AutoModelForCausalLM",
    Task.TRANSLATION: "AutoModelForSeq2SeqLM",
    Task.SENTIMENT: "AutoModelForSequenceClassification",
    Task.QA: "AutoModelForQuestionAnswering",
}
#: A model is trained with a head; that of another task is no help.
_HEADS = {Task.SENTIMENT: "ForSequenceClassification", Task.QA: "ForQuestionAnswering"}
_NO_TEXT_COMES_OUT = (
    "ForSequenceClassification", "ForQuestionAnswering", "ForTokenClassification", "ForMultipleChoice",
)  # fmt: skip


def look_into(folder: Path, task: Task) -> Finding | None:
    """The first thing that keeps the model in this folder from being loaded for this task."""
    try:
        config = _read_json(folder / "config.json")
    except FileNotFoundError:
        return _without_config(folder)
    except ValueError as error:
        return str(error), "fetch or save the model again"
    except OSError as error:
        return f"config.json cannot be read: {error.strerror}", "give this user the right to read it"
    return next(_findings(folder, task, config), None)


def _findings(folder: Path, task: Task, config: Mapping[str, Any]) -> Iterator[Finding]:
    yield from _task_findings(task, config)
    yield from _weight_findings(folder, task)
    yield from _tokenizer_findings(folder, config)


def _without_config(folder: Path) -> Finding:
    if (folder / "adapter_config.json").exists():
        return (
            "it holds an adapter (adapter_config.json), not a whole model",
            "merge it into its base model (peft: merge_and_unload) and save that",
        )
    return "there is no config.json in it", "name the folder that save_pretrained wrote"


def _task_findings(task: Task, config: Mapping[str, Any]) -> Iterator[Finding]:
    architectures = [str(name) for name in config.get("architectures") or []]
    if not architectures:
        return
    if task in _HEADS:
        fits = any(_HEADS[task] in name for name in architectures)
    elif task is Task.TRANSLATION:
        fits = bool(config.get("is_encoder_decoder")) or "ForConditionalGeneration" in architectures[0]
        fits = fits and not all(name.endswith(_NO_TEXT_COMES_OUT) for name in architectures)
    else:
        fits = not all(name.endswith(_NO_TEXT_COMES_OUT) for name in architectures)
    if not fits:
        yield (
            f"{', '.join(architectures)} was not trained for {task}",
            f"choose a model for {task} ({_AUTO_CLASSES[task]}), or serve this one for its own task",
        )


def _weight_findings(folder: Path, task: Task) -> Iterator[Finding]:
    index = folder / "model.safetensors.index.json"
    files = [folder / "model.safetensors"]
    if not files[0].exists() and index.exists():
        try:
            files = [folder / name for name in sorted(set(_read_json(index)["weight_map"].values()))]
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            yield f"{index.name} cannot be read", "fetch or save the model again"
            return
    if not files[0].exists() and not index.exists():
        yield _without_safetensors(folder, task)
        return
    lost = [path.name for path in files if not path.exists()]
    if lost:
        yield f"{len(lost)} of {len(files)} weight files are not there ({lost[0]}, ...)", "fetch them again"
        return
    for path in files:
        if problem := _damage(path):
            yield f"{path.name} {problem[0]}", problem[1]


def _without_safetensors(folder: Path, task: Task) -> Finding:
    others = sorted(path.name for pattern in _OTHER_WEIGHTS for path in folder.glob(pattern))
    if not others:
        return "there are no weights in it (model.safetensors)", "fetch or save the model again"
    name = _AUTO_CLASSES[task]
    return (
        f"its weights are in {others[0]}; only safetensors are read",
        f'convert them: python -c "from transformers import {name} as M; '
        f"M.from_pretrained('{folder}').save_pretrained('{folder}')\"",
    )


def _damage(path: Path) -> Finding | None:
    """What is wrong with a safetensors file: its header says how long it must be."""
    size_bytes = path.stat().st_size
    try:
        with path.open("rb") as file:
            start = file.read(len(_LFS))
            if start == _LFS:
                return "is a pointer of Git LFS, not the weights", "git lfs pull"
            file.seek(8)
            header_bytes = int.from_bytes(start[:8], "little")
            if len(start) < 8 or header_bytes > size_bytes - 8:
                return "is cut off", "fetch it again"
            header = json.loads(file.read(header_bytes))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    except OSError as error:
        return f"cannot be read: {error.strerror}", "give this user the right to read it"
    except (ValueError, KeyError, IndexError, AttributeError, TypeError):
        return "is no safetensors file", "fetch or save the model again"
    whole_bytes = 8 + header_bytes + max(ends, default=0)
    if size_bytes < whole_bytes:
        return f"is cut off: {size_bytes} of {whole_bytes} bytes", "fetch it again"
    return None


def _tokenizer_findings(folder: Path, config: Mapping[str, Any]) -> Iterator[Finding]:
    if not any(True for pattern in _TOKENIZERS for _ in folder.glob(pattern)):
        if config.get("model_type") not in _NEED_NO_FILES:
            yield "there is no tokenizer in it", "save it beside the model: tokenizer.save_pretrained(FOLDER)"
        return
    if (folder / "tokenizer.json").exists():
        return
    for package, patterns in (("tiktoken", ("*.tiktoken",)), ("sentencepiece", ("*.spm", "spiece.model"))):
        needs = any(True for pattern in patterns for _ in folder.glob(pattern))
        if needs and importlib.util.find_spec(package) is None:
            yield f"its tokenizer needs the package {package}", f"pip install {package}"


def _read_json(path: Path) -> Any:
    """Raises ValueError with a sentence when it is none."""
    content = path.read_bytes()
    if content.startswith(_LFS):
        raise ValueError(f"{path.name} is a pointer of Git LFS, not the file")
    try:
        value = json.loads(content)
    except ValueError as error:
        raise ValueError(f"{path.name} is not JSON: {error}") from None
    if isinstance(value, dict):
        return value
    raise ValueError(f"{path.name} holds no JSON object")
