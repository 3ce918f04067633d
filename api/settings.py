"""Settings: the only reader of the environment.

Names begin with ``CURATOR_``; nested groups use two underscores (``CURATOR_LIMITS__FILES=100``). The Hub's own variables
(``HF_ENDPOINT``, ``HF_TOKEN``, ``HF_HUB_OFFLINE``) are respected. ``curator settings`` prints every value with its origin.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from governance.context import Limits
from governance.errors import PrerequisiteError

#: Where evaluators run.
ExecutorKind = Literal["local", "ray"]


class Settings(BaseSettings):
    """What an installation can set; command-line options win over it."""

    model_config = SettingsConfigDict(env_prefix="CURATOR_", env_nested_delimiter="__", extra="ignore", populate_by_name=True)

    home: Path = Field(default=Path("~/.local/share/model-curator"), description="ledger, store and logs")
    policy: str = Field(default="default", description="a shipped policy's name, or a file")
    seed: int = Field(default=20261124, description="of every random choice; recorded with each number")
    isolation: Literal["required", "unsafe-none"] = Field(
        default="required", description="unsafe-none runs children without a sandbox; every scorecard says so"
    )
    limits: Limits = Limits()
    endpoint: str = Field(
        default="https://huggingface.co", validation_alias=AliasChoices("CURATOR_ENDPOINT", "HF_ENDPOINT"), description="the Hub"
    )
    token: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("CURATOR_TOKEN", "HF_TOKEN"), description="read token for gated repositories"
    )
    offline: bool = Field(
        default=False, validation_alias=AliasChoices("CURATOR_OFFLINE", "HF_HUB_OFFLINE"), description="open no connection"
    )
    api_token: SecretStr | None = Field(default=None, description="bearer token of `curator serve`; needed beyond localhost")
    signing_passphrase: SecretStr | None = Field(
        default=None, description="opens the private key of `curator attest`, if it is locked"
    )
    identity_token: SecretStr | None = Field(default=None, description="OpenID Connect token for `curator attest --keyless`")
    trusted_keys: Path | None = Field(default=None, description="folder of public keys (*.pub) that `curator verify` believes")
    trusted_publishers: Path | None = Field(
        default=None, description="folder of public keys (*.pub, *.pem) whose model signatures are believed"
    )
    voices: tuple[str, ...] = Field(
        default=("modelscan",), description="other scanners that are asked too: modelscan, picklescan, fickling, modelaudit"
    )
    executor: ExecutorKind = Field(default="local", description="where evaluators run: this machine, or a Ray cluster")
    ray_address: str = Field(default="", description="Ray cluster to join, host:port or auto; empty: one is started here")
    ray_actors: int = Field(default=0, ge=0, description="actors; 0: one for each GPU of the cluster, or each node without one")
    ray_resource: str = Field(default="", description="custom Ray resource an actor's node must have; empty: any node")
    log_level: Literal["debug", "info", "warning", "error"] = "warning"

    @property
    def folder(self) -> Path:
        """The home folder, expanded and absolute."""
        return self.home.expanduser().resolve()

    @property
    def signing_key(self) -> Path:
        """The private key that is used if none is named."""
        return self.folder / "keys" / "attest.key"

    def publishers(self) -> tuple[str, ...]:
        """Return the public keys of trusted publishers, in PEM.

        Raises:
            PrerequisiteError: The folder or a key in it cannot be read.
        """
        if self.trusted_publishers is None:
            return ()
        folder = self.trusted_publishers.expanduser()
        try:
            return tuple(p.read_text("ascii") for p in sorted(folder.iterdir()) if p.suffix in (".pub", ".pem"))
        except (OSError, UnicodeDecodeError) as error:
            raise PrerequisiteError(f"the keys of trusted publishers in {folder} cannot be read: {error}") from error

    def shown(self) -> dict[str, tuple[str, str]]:
        """Return each setting as (value, origin); secrets are masked."""
        found: dict[str, tuple[str, str]] = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            text = value.model_dump_json() if isinstance(value, Limits) else str(value)
            found[name] = (text, "environment or option" if name in self.model_fields_set else "default")
        return found
