"""The HTTP application: routes, pages, problems, and the shield in front of them all."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from api import web
from api.access import Access
from api.rest import audits, problems, scorecards, status
from api.rest.service import Service
from api.rest.shield import Shield
from api.web import pages
from governance import VERSION

_DESCRIPTION = """Audits LoRA adapters and decides: approve, review or reject.

A rejected model is a 200 whose body says `reject`; HTTP errors mean that there is no answer. Every error is problem JSON
(RFC 9457). With an access token configured, send `Authorization: Bearer TOKEN`."""


def create_app(service: Service | None, access: Access) -> FastAPI:
    """Return the application.

    Args:
        service: The running parts; None only to write the OpenAPI document.
        access: Who may speak to it.
    """
    app = FastAPI(title="model curator", version=VERSION, description=_DESCRIPTION, docs_url=None, redoc_url=None)
    app.state.service = service
    for router in (audits.router, scorecards.router, status.router, pages.router):
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=Path(web.__file__).with_name("static")))
    problems.install(app)
    app.add_middleware(Shield, access=access)
    return app


def openapi_document() -> dict[str, object]:
    """Return the OpenAPI 3.1 document, kept in ``docs/openapi.json``."""
    document = create_app(None, Access(None)).openapi()
    parts = document["components"]["schemas"]
    parts["Problem"] = problems.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    parts |= parts["Problem"].pop("$defs")
    for name in ("HTTPValidationError", "ValidationError"):
        parts.pop(name, None)
    document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{}, {"token": []}]
    return dict(document)
