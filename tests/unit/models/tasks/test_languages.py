"""How translation models are told their languages, against transformers' own way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf

from models.loading.device import Device
from models.loading.registry import LoadedModel, load_model
from models.records import DocumentInput, ModelSpec
from models.tasks.translation.task import TranslationEngine
from tests.support.engines import drain
from tests.support.language_models import change_json, m2m100, marian, mbart50, translated_alone
from tests.support.tiny_models import Loader, TinyModels

_SHORT = {"max_new_tokens": 8}
_TEXTS = ("The old clock", "A warm film", "Une voiture rouge")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("languages")


def _load(folder: Path, device: Device) -> LoadedModel:
    return load_model(ModelSpec(name="m", task="translation", ref=str(folder), dtype="float32"), device)


def _run(model: LoadedModel, documents: list[tuple[str, dict[str, Any]]]) -> list[Any]:
    inputs = [
        DocumentInput(key=key, text=text, params={**_SHORT, **params})
        for key, (text, params) in enumerate(documents)
    ]
    answered = drain(TranslationEngine(model), inputs)
    return [answered[key] for key in range(len(inputs))]


@pytest.mark.parametrize(
    ("make", "own", "other", "target"),
    [
        (mbart50, "de_DE", "fr_XX", "en_XX"),
        (m2m100, "de", "fr", "en"),
        (None, "eng_Latn", "fra_Latn", "deu_Latn"),
    ],
    ids=["mbart50", "m2m100", "nllb"],
)
def test_a_document_without_a_source_language_is_read_in_the_tokenizers_own(
    make: Any, own: str, other: str, target: str, folder: Path, loaded: Loader, cpu: Device
) -> None:
    """W2: it was read as French, because the document before it was French."""
    model = _load(make(folder), cpu) if make else loaded("translation", "nllb")
    tokenizer: Any = model.tokenizer
    tokenizer.src_lang = own  # other tests share the model
    documents = [
        (text, {"target_language": target, **({"source_language": other} if number % 2 == 0 else {})})
        for number, text in enumerate(_TEXTS * 2)
    ]
    answered = _run(model, documents)
    assert tokenizer.src_lang == own
    for output, (text, params) in zip(answered, documents, strict=True):
        tokenizer.src_lang = params.get("source_language", own)
        forced = (
            tokenizer.convert_tokens_to_ids(target) if make is not m2m100 else tokenizer.get_lang_id(target)
        )
        assert output.output["text"] == translated_alone(model, text, forced_bos_token_id=forced, **_SHORT)
    tokenizer.src_lang = own


def test_a_language_may_be_named_by_its_short_code_when_that_means_one(loaded: Loader) -> None:
    model = loaded("translation", "nllb")
    long, short, vague, unknown = _run(
        model,
        [
            ("Une voiture", {"source_language": "fra_Latn", "target_language": "deu_Latn"}),
            ("Une voiture", {"source_language": "fr", "target_language": "de"}),
            ("Une voiture", {"source_language": "fr", "target_language": "zh"}),
            ("Une voiture", {"source_language": "fr", "target_language": "klingon"}),
        ],
    )
    assert short.output == long.output
    assert "zho_Hans, zho_Hant" in vague.error_message
    assert unknown.error_code == "invalid_parameter"
    assert "ace_Arab" in unknown.error_message


def test_a_model_of_many_targets_says_that_it_needs_one(loaded: Loader) -> None:
    model = loaded("translation", "nllb")
    facts = TranslationEngine(model).describe()
    assert facts["needs_target_language"]
    assert "deu_Latn" in facts["target_languages"]
    assert "fra_Latn" in facts["source_languages"]
    assert "language_pair" not in facts
    assert "<mask>" not in facts["target_languages"]
    (refused,) = _run(model, [("The clock", {})])
    assert "needs target_language" in refused.error_message


def test_a_target_in_the_generation_config_is_the_default(folder: Path, cpu: Device) -> None:
    model = _load(mbart50(folder), cpu)
    own: Any = model.tokenizer
    model.model.generation_config.forced_bos_token_id = own.lang_code_to_id["ro_RO"]  # type: ignore[union-attr]
    assert not TranslationEngine(model).describe()["needs_target_language"]
    (answered,) = _run(model, [("The clock", {})])
    assert answered.output["text"] == translated_alone(model, "The clock", **_SHORT)


def test_a_target_that_outputs_begin_with_is_not_forced_twice(folder: Path, cpu: Device) -> None:
    """Models such as mbart-large-en-ro start from the code of their target."""
    model = _load(mbart50(folder), cpu)
    own: Any = model.tokenizer
    model.model.generation_config.decoder_start_token_id = own.lang_code_to_id["ro_RO"]  # type: ignore[union-attr]
    left_out, named = _run(model, [("The clock", {}), ("The clock", {"target_language": "ro_RO"})])
    assert left_out.output == named.output
    assert named.output["text"] == translated_alone(model, "The clock", **_SHORT)


@pytest.mark.parametrize("pair", [("en", "de"), ("eng", "deu"), ("en", None), (None, "deu_Latn")])
def test_a_model_of_one_pair_takes_its_own_pair_in_any_code(pair: Any, loaded: Loader) -> None:
    model = loaded("translation", "marian")
    given = {
        name: code
        for name, code in zip(("source_language", "target_language"), pair, strict=True)
        if code is not None
    }
    named, left_out = _run(model, [("The clock", given), ("The clock", {})])
    assert named.output == left_out.output


@pytest.mark.parametrize("pair", [("en", "fr"), ("de", "en"), (None, "fr"), ("xx", "yy")])
def test_a_model_of_one_pair_refuses_any_other_by_name(pair: Any, loaded: Loader) -> None:
    """W11: `translation_en_to_fr` with an en-de model gave German; `xx_to_yy` too."""
    source, target = pair
    given = {"target_language": target, **({"source_language": source} if source else {})}
    (refused,) = _run(loaded("translation", "marian"), [("The clock", given)])
    assert refused.error_code == "invalid_parameter"
    assert "en to de" in refused.error_message


def test_the_bundled_model_says_its_pair() -> None:
    """W11: it accepted French and gave German."""
    from models.factory import build_engine
    from models.loading.device import prepare_device

    spec = ModelSpec(name="t", task="translation", ref="bundled:translation", dtype="float32")
    facts = build_engine(spec, prepare_device("cpu", num_threads=1)).describe()
    assert facts["language_pair"] == "en-de"
    assert facts["source_languages"] == facts["target_languages"] == []
    assert not facts["needs_target_language"]


@pytest.mark.parametrize(
    ("given", "phrase"),
    [
        ({"source_language": "en", "target_language": "fr"}, "translate English to French: "),
        ({"source_language": "eng", "target_language": "fra"}, "translate English to French: "),
        ({"target_language": "fr"}, "translate English to French: "),
        ({}, "translate English to German: "),
    ],
)
def test_t5_is_told_its_pair_by_its_own_phrase(given: dict[str, str], phrase: str, loaded: Loader) -> None:
    """W11: T5 gave German whatever pair was asked for."""
    model = loaded("translation", "t5")
    (answered,) = _run(model, [("The park", given)])
    assert answered.output["text"] == translated_alone(model, phrase + "The park", **_SHORT)
    assert TranslationEngine(model).describe()["target_languages"] == ["de", "fr"]


@pytest.mark.parametrize("phrase", ["translate English to French: ", "translate English to Latin: "])
def test_a_phrase_that_a_client_writes_goes_for_every_sentence(phrase: str, loaded: Loader) -> None:
    """W11: as transformers' own examples write it; German was asked for before it."""
    model = loaded("translation", "t5")
    (answered,) = _run(model, [(f"{phrase}The park. The dog.", {})])
    sentences = ("The park.", "The dog.")
    assert answered.output["text"] == " ".join(
        translated_alone(model, phrase + each, **_SHORT) for each in sentences
    )


def test_a_target_may_be_a_token_before_the_text_as_madlad_has_it(
    tiny_models: TinyModels, tmp_path: Path, cpu: Device
) -> None:
    tokenizer: Any = hf.AutoTokenizer.from_pretrained(tiny_models["t5"])
    tokenizer.add_tokens(["<2de>", "<2fr>"])
    plain: Any = hf.AutoModelForSeq2SeqLM.from_pretrained(tiny_models["t5"])
    plain.config.task_specific_params = None
    plain.resize_token_embeddings(len(tokenizer))
    plain.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = _load(tmp_path, cpu)
    answered, short, refused, written = _run(
        model,
        [
            ("The clock. The park.", {"target_language": "fr", "source_language": "en"}),
            ("The clock. The park.", {"target_language": "fra"}),
            ("The clock.", {}),
            ("<2fr> The clock. The park.", {"parse_special_tokens": True}),
        ],
    )
    wanted = " ".join(
        translated_alone(model, f"<2fr> {each}", **_SHORT) for each in ("The clock.", "The park.")
    )
    assert answered.output["text"] == short.output["text"] == written.output["text"] == wanted
    assert "de, fr" in refused.error_message


def test_t5_refuses_a_pair_that_it_has_no_phrase_for(loaded: Loader) -> None:
    model = loaded("translation", "t5")
    refused, also = _run(
        model, [("The park", {"target_language": "es"}), ("The park", {"source_language": "fr"})]
    )
    assert "en_to_de, en_to_fr" in refused.error_message
    assert also.error_code == "invalid_parameter"


def test_a_model_that_knows_no_languages_refuses_them(loaded: Loader) -> None:
    (refused,) = _run(loaded("translation", "bart"), [("The park", {"target_language": "fr"})])
    assert "leave target_language out" in refused.error_message


def test_marian_of_many_targets_is_told_one_by_a_token_before_each_sentence(
    tiny_models: TinyModels, tmp_path: Path, cpu: Device
) -> None:
    model = _load(marian(tiny_models, tmp_path / "many"), cpu)
    answered = _run(
        model,
        [
            ("The clock. The park.", {"target_language": "fra"}),
            ("The clock. The park.", {"target_language": "fr"}),
            ("The clock.", {}),
            ("The clock.", {"target_language": "ita"}),
            (">>spa<< The clock. The park.", {"parse_special_tokens": True}),
        ],
    )
    sentences = ("The clock.", "The park.")
    for place, mark in ((0, "fra"), (1, "fra"), (4, "spa")):
        wanted = " ".join(translated_alone(model, f">>{mark}<< {each}", **_SHORT) for each in sentences)
        assert answered[place].output["text"] == wanted
    assert "deu, fra, spa" in answered[2].error_message
    assert "deu, fra, spa" in answered[3].error_message
    facts = TranslationEngine(model).describe()
    assert (facts["source_languages"], facts["target_languages"]) == (["en"], ["deu", "fra", "spa"])
    assert facts["needs_target_language"]


def test_marian_of_one_target_in_several_scripts_needs_none(
    tiny_models: TinyModels, tmp_path: Path, cpu: Device
) -> None:
    folder = marian(tiny_models, tmp_path / "scripts", target="zh")
    model = _load(folder, cpu)
    left_out, named = _run(model, [("The clock.", {}), ("The clock.", {"target_language": "zh"})])
    assert left_out.output["text"] == translated_alone(model, "The clock.", **_SHORT) == named.output["text"]


def test_a_group_of_sources_takes_any_language(tiny_models: TinyModels, tmp_path: Path, cpu: Device) -> None:
    folder = marian(tiny_models, tmp_path / "group", target="de")
    change_json(folder / "tokenizer_config.json", source_lang="ROMANCE")
    model = _load(folder, cpu)
    answered, refused = _run(
        model, [("La casa.", {"source_language": "es"}), ("La casa.", {"target_language": "fr"})]
    )
    assert answered.output is not None
    assert refused.error_code == "invalid_parameter"


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    torch.manual_seed(0)
