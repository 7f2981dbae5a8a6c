"""The model of a name: the embedded one, or an endpoint."""

from __future__ import annotations

from catlite.errors import ConfigError
from catlite.models.base import Model
from catlite.models.embedded.model import embedded
from catlite.models.http.endpoint import Endpoint
from catlite.models.http.keys import BaseURL, Secret


def named(model: str, base_url: BaseURL = None, api_key: str | Secret | None = None) -> Model:
    """Make the Model called "local", "gpt-4o-mini" or "provider/name"."""
    if model == "local":
        if base_url is not None:
            raise ConfigError(
                'model="local" is the embedded model and has no base_url: name the model your server serves'
            )
        return embedded()
    return Endpoint(model, base_url=base_url, api_key=api_key)
