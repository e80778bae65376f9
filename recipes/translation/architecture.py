"""The network, and how it decodes by default."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import GenerationConfig, MarianConfig, MarianMTModel

_DROPOUT = 0.1  # beside it each epoch reads other words and other pieces of them


def config_for(tokenizer: Any) -> MarianConfig:
    """Four encoder and two decoder layers of width 320.

    The decoder is run per token, so it is the shorter; 8.5 million parameters are what all bundled
    models leave of 90 MB.
    """
    config = MarianConfig(
        vocab_size=len(tokenizer), d_model=320, encoder_layers=4, decoder_layers=2, encoder_attention_heads=5,
        decoder_attention_heads=5, encoder_ffn_dim=1024, decoder_ffn_dim=1024, max_position_embeddings=512,
        activation_function="relu", dropout=_DROPOUT, scale_embedding=True,
        share_encoder_decoder_embeddings=True, tie_word_embeddings=True, pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id, decoder_start_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    # Read by our translation engine: the model is given one sentence at a time.
    config.max_joined_tokens = 0
    return config


def untrained(tokenizer: Any) -> MarianMTModel:
    """The network that is trained."""
    return drawn(config_for(tokenizer))


def drawn(config: MarianConfig) -> MarianMTModel:
    """Weights drawn as wide as their layers ask for (Glorot and Bengio 2010).

    transformers draws all with a deviation of 0.02. At this width that leaves so little of the source
    in the encoder's output that the decoder learns German alone, and never looks there.
    """
    model = MarianMTModel(config)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
    # The output's too; what is read of them is multiplied by the root of the width.
    nn.init.normal_(model.model.shared.weight, std=config.d_model**-0.5)
    return model


def decoding_for(tokenizer: Any) -> GenerationConfig:
    """Beams, without rules on repetition: they would break numbers, whose digits are tokens."""
    return GenerationConfig(
        max_new_tokens=256, num_beams=4, early_stopping=True, pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id, forced_eos_token_id=None,
        bad_words_ids=[[tokenizer.pad_token_id]],
    )  # fmt: skip
