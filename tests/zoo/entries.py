"""All models of the zoo."""

from __future__ import annotations

from tests.zoo.classifiers import CLASSIFIERS
from tests.zoo.decoders import DECODERS
from tests.zoo.defaults import DEFAULTS
from tests.zoo.encoder_decoders import ENCODER_DECODERS
from tests.zoo.entry import Entry
from tests.zoo.more_decoders import MORE_DECODERS
from tests.zoo.readers import READERS

ENTRIES: tuple[Entry, ...] = (
    *DECODERS,
    *MORE_DECODERS,
    *ENCODER_DECODERS,
    *CLASSIFIERS,
    *READERS,
    *DEFAULTS,
)
