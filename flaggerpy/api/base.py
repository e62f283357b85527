"""What all our models share: frozen, camelCase on the wire, unknown fields ignored."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class ApiModel(BaseModel):
    """A frozen model whose JSON names are camelCase.

    Unknown fields are ignored when reading: whatever Flagger's CRD admits stays admitted, and a newer schema must
    not stop an older controller.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        populate_by_name=True,
    )
