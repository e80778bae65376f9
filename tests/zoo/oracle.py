"""What transformers makes of one document alone, in plain calls of its own."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from torch import Tensor

from models.records import DocumentInput
from tests.zoo.entry import Entry

_NOT_GENERATES = frozenset({"seed", "stop", "source_language", "target_language"})


@dataclass(frozen=True, kw_only=True)
class Right:
    """What may come out for one document."""

    texts: frozenset[str] = frozenset()  #: of generation and translation
    #: padding that a model chose at the end may be left out; empty: not checked
    num_tokens: frozenset[int] = frozenset()
    scores: tuple[tuple[str, float], ...] = ()  #: of labels
    spans: frozenset[tuple[int, int]] = frozenset()  #: of answers, in characters
    error: str | None = None  #: what transformers itself raised: any refusal is right


class Oracle:
    """A model of the zoo as transformers loads it."""

    def __init__(self, entry: Entry, folder: Path) -> None:
        self._entry = entry
        self.tokenizer: Any = hf.AutoTokenizer.from_pretrained(folder)
        self._as_loaded = _auto_class(entry, folder).from_pretrained(folder, dtype=torch.float32).eval()
        if self._as_loaded.can_generate():
            # Tokens guessed ahead change no distribution, but draw more numbers; the product does without.
            self._as_loaded.generation_config.prompt_lookup_num_tokens = None
        self.model: Any = self._as_loaded

    @torch.inference_mode()
    def right(self, document: DocumentInput) -> Right:
        """What is right for a document, by a model that has seen no other.

        Some remember: a dynamic rope keeps the frequencies of a longer text for one of just the length that
        it was trained for; BigBird, given a short text, reads all later ones with full attention.
        """
        self.model = copy.deepcopy(self._as_loaded)
        find = {"sentiment": self._labels, "qa": self._answer}.get(self._entry.task, self._decoded)
        try:
            return find(document)
        except (ValueError, TypeError, RuntimeError, IndexError, AttributeError) as error:
            return Right(error=f"{type(error).__name__}: {error}")

    def _decoded(self, document: DocumentInput) -> Right:
        params = {**document.params}
        prefix = self._set_languages(params)
        if "seed" in params:
            torch.manual_seed(params.pop("seed"))
        if "stop" in params:
            params["stop_strings"] = list(params.pop("stop"))
        if "stop_strings" in params or self.model.generation_config.stop_strings:
            params["tokenizer"] = self.tokenizer
        ids = torch.tensor([self.tokenizer(prefix + document.text)["input_ids"]])
        made = self.model.generate(ids, attention_mask=torch.ones_like(ids), **params)
        made = made if isinstance(made, Tensor) else made.sequences
        start = 1 if self.model.config.is_encoder_decoder else ids.shape[1]
        right = self._texts(ids[0].tolist(), made[0, start:].tolist())
        return right if len(made) == 1 else replace(right, num_tokens=frozenset())  # those of all are counted

    def _set_languages(self, params: dict[str, Any]) -> str:
        """Takes the languages out of the parameters, sets them; returns what goes before the text."""
        source, target = params.pop("source_language", None), params.pop("target_language", None)
        tasks = getattr(self.model.config, "task_specific_params", None)
        if tasks:
            return str(tasks[f"translation_{source}_to_{target}"]["prefix"])
        if source:
            self.tokenizer.src_lang = source
        if target:
            codes = getattr(self.tokenizer, "lang_code_to_id", None)
            forced = codes[target] if codes else self.tokenizer.convert_tokens_to_ids(target)
            params["forced_bos_token_id"] = forced
        return ""

    def _texts(self, prompt: list[int], new: list[int]) -> Right:
        text = self.tokenizer.decode(new, skip_special_tokens=True)
        forms = {text.strip()}
        if not self.model.config.is_encoder_decoder:  # words may join differently at the seam
            before = self.tokenizer.decode(prompt, skip_special_tokens=True)
            whole = self.tokenizer.decode(prompt + new, skip_special_tokens=True)
            if whole.startswith(before):
                forms.add(whole[len(before) :].strip())
        for stop in self.model.generation_config.stop_strings or ():
            forms |= {form.partition(stop)[0].strip() for form in set(forms)}
        counts = {len(new)}
        while new and new[-1] == self.tokenizer.pad_token_id:
            new = new[:-1]
            counts.add(len(new))
        return Right(texts=frozenset(forms), num_tokens=frozenset(counts))

    def _labels(self, document: DocumentInput) -> Right:
        inputs = self.tokenizer(document.text, return_tensors="pt")
        logits = self.model(**inputs).logits[0].float()
        config = self.model.config
        if config.problem_type == "regression":
            scores = logits
        elif config.problem_type == "multi_label_classification" or len(logits) == 1:
            scores = logits.sigmoid()
        else:
            scores = logits.softmax(-1)
        names = [config.id2label[number] for number in range(len(logits))]
        return Right(scores=tuple(zip(names, scores.tolist(), strict=True)))

    def _answer(self, document: DocumentInput) -> Right:
        assert document.context is not None
        context = document.context
        is_question_first = self.tokenizer.padding_side != "left"  # as in transformers' pipeline
        pair = (document.text, context) if is_question_first else (context, document.text)
        encoded = self.tokenizer(*pair, return_tensors="pt")
        offsets = self._offsets(encoded, int(is_question_first))
        outputs = self.model(**encoded)
        starts, ends = outputs.start_logits[0].tolist(), outputs.end_logits[0].tolist()
        longest = int(document.params["max_answer_length"])
        words = self._words(encoded, offsets, int(is_question_first))
        _score, first, last = max(
            (starts[i] + ends[j], i, j)
            for i in offsets
            for j in offsets
            if i <= j < i + longest and context[words[i][0] : words[j][1]].strip()
        )
        of_tokens = context[offsets[first][0] : offsets[last][1]]
        forms = _spans(context, offsets[first][0], offsets[last][1]) if of_tokens.strip() else frozenset()
        return Right(spans=forms | _spans(context, words[first][0], words[last][1]))

    def _words(
        self, encoded: Any, offsets: dict[int, tuple[int, int]], sequence: int
    ) -> dict[int, tuple[int, int]]:
        """As `offsets`, of each token's word: the pipeline's answers begin and end with words."""
        if not self.tokenizer.is_fast:
            return offsets
        words = {place: encoded.token_to_word(0, place) for place in offsets}
        return {place: tuple(encoded.word_to_chars(0, word, sequence)) for place, word in words.items()}

    def _offsets(self, encoded: Any, sequence: int) -> dict[int, tuple[int, int]]:
        """First and last character of each token of the context, by the token's place."""
        if not self.tokenizer.is_fast:  # CANINE: a token a character, and one behind the last
            places = encoded["token_type_ids"][0].nonzero().flatten().tolist()[:-1]
            return {place: (number, number + 1) for number, place in enumerate(places)}
        parts = encoded.sequence_ids(0)
        return {
            place: tuple(encoded.token_to_chars(0, place))
            for place, part in enumerate(parts)
            if part == sequence and encoded.token_to_chars(0, place) is not None
        }


def _auto_class(entry: Entry, folder: Path) -> Any:
    if entry.task == "sentiment":
        return hf.AutoModelForSequenceClassification
    if entry.task == "qa":
        return hf.AutoModelForQuestionAnswering
    is_encoder_decoder = hf.AutoConfig.from_pretrained(folder).is_encoder_decoder
    return hf.AutoModelForSeq2SeqLM if is_encoder_decoder else hf.AutoModelForCausalLM


def _spans(context: str, start: int, end: int) -> frozenset[tuple[int, int]]:
    """A span as its tokens have it, and as the words do that it touches."""
    text = context[start:end]
    start, end = start + len(text) - len(text.lstrip()), end - len(text) + len(text.rstrip())
    first, last = start, end
    while first > 0 and not context[first - 1].isspace():
        first -= 1
    while last < len(context) and not context[last].isspace():
        last += 1
    return frozenset({(start, end), (first, last)})
