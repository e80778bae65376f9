"""Every setting of every Textmill process, parsed once at the entry and passed down.

Each is an environment variable `TEXTMILL_<NAME>` (or a line of `.env`); a wrong
value is fatal and the error names the variable. No other file reads the environment.
Values that are secrets can come from a file: `TEXTMILL_DATABASE_URL_FILE=/run/secrets/...`.
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from jobs.errors import ConfigurationError
from jobs.keys import MIN_SECRET_CHARACTERS, why_not_a_key
from jobs.limits import parse_limits
from jobs.secret_files import ENV_FILE, PREFIX, secrets_from_files
from jobs.webhooks.allow_list import AllowList

#: How a dtype and a device are written.
DTYPE = "^(auto|float32|bfloat16|float16|int8)$"
DEVICE = r"^(auto|cpu|cuda(:\d+)?)$"

#: No path, no wildcard, not the `null` of pages from files: every page of the world is not named one by one.
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d+)?|https?://\[[0-9a-f:]+\](:\d+)?")


class Settings(BaseSettings):
    """The settings, with their defaults."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_file=ENV_FILE, extra="ignore", frozen=True)

    data: Path = Field(Path(".textmill"), description="Folder for the embedded database, broker, uploads.")
    database_url: SecretStr | None = Field(
        None, description="SQLAlchemy URL; default: SQLite in the data folder."
    )
    redis_url: SecretStr | None = Field(
        None, description="redis://, rediss:// or redis+socket://; default: the broker of `textmill up`."
    )
    key_prefix: str = Field("textmill:", description="Prefix of every key in Redis.")

    host: str = Field("127.0.0.1", description="Address the API binds to.")
    port: int = Field(8000, ge=0, le=65535, description="Port the API binds to.")
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (),
        description="API keys, apart by commas or spaces; not set: none, and the API binds to loopback only.",
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Names this server may be called by; default: any with keys, loopback without.",
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Origins whose pages may call the API (CORS), as https://app.example; default: none."
    )
    operations_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port for /metrics and /readyz; default: they share the API's.",
    )
    max_connections: int = Field(
        1000, ge=8, description="Connections at a time; half of the process's file descriptors at most."
    )
    max_streams: int = Field(
        500,
        ge=1,
        description="Downloads, events and waits at a time; half of the connections at most.",
    )
    max_streams_per_key: int = Field(250, ge=1, description="Of these, those of one API key.")
    max_uploads: int = Field(64, ge=1, description="Bodies of more than 64 KiB that arrive at a time.")
    max_uploads_per_key: int = Field(32, ge=1, description="Of these, those of one API key.")
    idle_seconds: float = Field(
        30.0, gt=0, description="Patience with a client that sends nothing, or next to nothing."
    )
    call_seconds: float = Field(
        3600.0, gt=0, le=366 * 86_400, description="A single call that is not answered so soon has expired."
    )
    admin_key: SecretStr | None = Field(
        None, description="Key that sees every project and makes, rotates and revokes other keys."
    )
    secret: SecretStr | None = Field(
        None,
        description="What keys are hashed and secrets of webhooks sealed with, 32 characters or more; "
        "default: kept in the data folder.",
    )
    limits: Annotated[dict[str, int], NoDecode] = Field(
        {},
        description="What a project or key may use, NAME=NUMBER: "
        "requests_per_minute, key_requests_per_minute, queued_documents, queued_tokens, "
        "interactive_documents, stored_bytes.",
    )
    max_body_bytes: int = Field(4 << 30, gt=0, description="Largest accepted body.")
    max_file_bytes: int = Field(512 << 20, gt=0, description="Largest accepted file of /v1/files.")
    max_line_bytes: int = Field(
        1 << 20, gt=0, description="Largest accepted document: a line, a row, an element of an array."
    )
    max_grammar_bytes: int = Field(
        32 << 10, gt=0, le=64 << 10, description="Largest accepted grammar of a document, as JSON."
    )
    max_documents: int = Field(10_000_000, gt=0, description="Most documents in one job.")
    max_queued_documents: int = Field(
        50_000_000, gt=0, description="Documents that may wait in all before submits get 429."
    )
    max_owner_documents: int = Field(
        25_000_000, gt=0, description="Documents that one owner may have queued before submits get 429."
    )
    max_owner_tokens: int = Field(
        20_000_000_000, gt=0, description="The same in estimated tokens of work: a new token counts 8 times."
    )
    max_interactive_documents: int = Field(
        1000, ge=0, description="Interactive documents of one owner; jobs beyond are taken as bulk."
    )

    models: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="TASK=REF[@REVISION], separated by spaces; default: the bundled models."
    )
    config: Path = Field(Path("textmill.toml"), description="File with [[models]] tables, if it exists.")
    dtype: str = Field("auto", pattern=DTYPE, description="Default dtype.")

    device: str = Field("auto", pattern=DEVICE, description="Device of a worker.")
    concurrency: int = Field(
        16, ge=1, le=256, description="Slices a worker holds at once; one owner gets three quarters of them."
    )
    threads: int = Field(0, ge=0, description="CPU threads of a worker; 0: its share of the cores.")
    max_batch_tokens: int = Field(8192, ge=64, description="Padded tokens in one forward pass.")
    model_memory_bytes: int = Field(0, ge=0, description="Budget for warm models; 0: from the device.")

    lease_seconds: float = Field(
        30.0, gt=0, description="How long a slice is leased; renewed every third of it."
    )
    sweep_seconds: float = Field(5.0, gt=0, description="Time between sweeps.")
    resend_seconds: float = Field(
        60.0, gt=0, description="A sent slice nobody claimed for so long is sent again."
    )
    window: int = Field(32, ge=1, description="Slices of one job that are sent or leased at a time.")
    slice_tokens: int = Field(8192, ge=1, description="Estimated tokens of work in one slice.")
    slice_documents: int = Field(512, ge=1, description="Most documents in one slice.")
    max_crashes: int = Field(3, ge=1, description="Crashes after which a document is quarantined.")
    keep_days: float | None = Field(
        None, gt=0, description="Finished jobs are deleted after so many days; not set: never."
    )
    webhook_allow: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="What webhooks may reach though it is not public, by http too: HOST, HOST:PORT, "
        "ADDRESS or NETWORK/BITS, apart by commas or spaces; default: nothing.",
    )
    pass_environment: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Variables that `textmill up` passes on to workers beside the usual, by name."
    )
    grace_seconds: float = Field(
        20.0, ge=0, description="Time a stopping worker may use to settle what it holds."
    )
    step_limit_seconds: float = Field(300.0, gt=0, description="A step that takes longer ends its process.")

    @field_validator("api_keys", mode="before")
    @classmethod
    def _split_keys(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        keys = tuple(value.replace(",", " ").split())
        if not keys:  # an empty file of secrets must not open the door
            raise ValueError("is set, and holds no key; leave it out if nobody shall need one")
        return tuple(dict.fromkeys(keys))

    @field_validator("api_keys", "admin_key")
    @classmethod
    def _check_keys(cls, value: tuple[SecretStr, ...] | SecretStr | None) -> object:
        given = value if isinstance(value, tuple) else () if value is None else (value,)
        for key in given:
            if problem := why_not_a_key(key.get_secret_value()):
                raise ValueError(problem)
        return value

    @field_validator("database_url", "redis_url")
    @classmethod
    def _check_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().strip():
            raise ValueError("is set, and empty; leave it out for the one of `textmill up`")
        return value

    @field_validator("admin_key", mode="before")
    @classmethod
    def _strip_key(cls, value: object) -> object:
        return value.strip() if isinstance(value, str) else value

    @field_validator("secret")
    @classmethod
    def _check_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < MIN_SECRET_CHARACTERS:
            raise ValueError(f"has fewer than {MIN_SECRET_CHARACTERS} characters: `openssl rand -hex 32`")
        return value

    @model_validator(mode="after")
    def _keep_apart(self) -> Self:
        if self.admin_key is not None and self.admin_key in self.api_keys:
            raise ConfigurationError("TEXTMILL_ADMIN_KEY is one of TEXTMILL_API_KEYS: take another key")
        return self

    @field_validator("limits", mode="before")
    @classmethod
    def _parse_limits(cls, value: object) -> object:
        return parse_limits(value) if isinstance(value, str) else value

    @field_validator("allowed_origins")
    @classmethod
    def _check_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin[:80]!r} is no origin: write https://HOST or https://HOST:PORT")
        return value

    @field_validator("webhook_allow")
    @classmethod
    def _check_targets(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        AllowList(value)
        return value

    @field_validator("allowed_hosts", "allowed_origins", "webhook_allow", mode="before")
    @classmethod
    def _split_hosts(cls, value: object) -> object:
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value

    @field_validator("models", mode="before")
    @classmethod
    def _split_models(cls, value: object) -> object:
        return tuple(value.split()) if isinstance(value, str) else value

    @field_validator("pass_environment", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value

    @classmethod
    def load(cls, **overrides: object) -> Self:
        """Reads environment, `.env` and `*_FILE` secrets; `overrides` (flags) win; None is no override.

        Raises:
            ConfigurationError: a value is wrong; the message names the variable.
        """
        values: dict[str, object] = {
            **secrets_from_files(),
            **{k: v for k, v in overrides.items() if v is not None},
        }
        try:
            return cls(**values)  # type: ignore[arg-type]
        except ValidationError as error:
            problems = "; ".join(
                f"{PREFIX}{'_'.join(str(p) for p in e['loc'][:1]).upper()}: {e['msg']}"
                for e in error.errors()
            )
            raise ConfigurationError(problems) from error

    @property
    def has_keys(self) -> bool:
        """Whether callers need a key."""
        return bool(self.api_keys) or self.admin_key is not None

    @cached_property
    def database(self) -> str:
        """The SQLAlchemy URL in force."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data.absolute() / 'textmill.db'}"

    @cached_property
    def broker(self) -> str:
        """The broker's URL as Celery and kombu write it."""
        if self.redis_url is not None:
            return self.redis_url.get_secret_value()
        return f"redis+socket://{self.data.absolute() / 'broker.sock'}?virtual_host=0"
