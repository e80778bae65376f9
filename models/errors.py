"""Every error raised inside `models`, under one root.

`models` knows neither jobs nor HTTP. A `DocumentError` fails its one document with
`code` and message; every other error concerns a model, an engine or the process.
"""

from __future__ import annotations


class ModelError(Exception):
    """Something went wrong inside `models`."""

    code = "model_error"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class CannotLoad(ModelError):
    """The model cannot be loaded; the message says which file or setting is at fault."""

    code = "cannot_load"
    #: whether the same load may succeed later without anybody changing a setting
    is_retryable = False


class CannotLoadNow(CannotLoad):
    """The model cannot be loaded at the moment (network, memory); later it may."""

    code = "cannot_load_now"
    is_retryable = True


class DocumentError(ModelError):
    """This document cannot be computed; others are not touched."""

    code = "document_error"


class TooLong(DocumentError):
    """The document does not fit the model and may not be cut."""

    code = "too_long"


class InvalidParameter(DocumentError):
    """A parameter does not fit this model."""

    code = "invalid_parameter"


class GrammarFailed(DocumentError):
    """The document's grammar cannot be kept to."""

    code = "grammar_failed"


class NotFinite(DocumentError):
    """The model returned NaN or infinity for this document."""

    code = "not_finite"


class OutOfMemory(DocumentError):
    """The document does not fit the device's memory, even alone."""

    code = "out_of_memory"


class NotSuited(ModelError):
    """An engine does not do what a model asks for; another way of computing it does."""

    code = "not_suited"


class LoopDied(ModelError):
    """The device loop has ended; this process must be restarted."""

    code = "loop_died"

    def __init__(self, message: str | None = None, *, model: str | None = None) -> None:
        super().__init__(message)
        #: the model in whose step, or loading, the loop hangs; None: it ended in another way
        self.model = model


class LoopStopped(LoopDied):
    """The device loop was stopped in order before this work was done: hand it to another worker."""

    code = "loop_stopped"


class EngineBroken(ModelError):
    """An engine lost or doubled a document; nothing it says can be trusted any more."""

    code = "engine_broken"
