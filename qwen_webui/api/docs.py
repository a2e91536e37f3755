"""/openapi.json and /docs: the description of the API, and a page to read and try it.

The page's script and style come from a Python package, so that it works without the internet. All
addresses are relative, so that it works behind a proxy that strips a prefix.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response

from qwen_webui.api.described import document
from qwen_webui.errors import NotFound

DESCRIPTION = "/openapi.json"
ALIAS = "/api/openapi.json"
PAGE = "/docs"
ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}
READ = ["GET", "HEAD"]
WEEK = 7 * 24 * 3600

HTML = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>qwen-webui: API</title>
<link rel="icon" href="docs/favicon.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<main id="api"></main>
<script src="docs/swagger-ui-bundle.js"></script>
<script>
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  deepLinking: true,
  tryItOutEnabled: true,
  persistAuthorization: false,
  validatorUrl: null,
  defaultModelsExpandDepth: 0,
});
</script>
</body>
</html>
"""


def docs_routes(api: FastAPI, cookie: str) -> APIRouter:
    """The router of this file; it describes whatever `api` has when it is first asked. `cookie` is
    the name of the login's."""
    router = APIRouter(include_in_schema=False)
    made: dict[str, dict[str, Any]] = {}
    folder = Path(str(files("fastapi_offline").joinpath("static")))

    def described(path: str) -> Response:
        if not made:
            made["of every path"] = document(api, cookie)
        # Relative to the document, wherever a proxy shows it.
        server = {"url": "../" * (path.count("/") - 1) or "./", "description": "This server"}
        return JSONResponse(made["of every path"] | {"servers": [server]})

    @router.api_route(DESCRIPTION, methods=READ)
    async def description() -> Response:
        return described(DESCRIPTION)

    @router.api_route(ALIAS, methods=READ)
    async def alias() -> Response:
        return described(ALIAS)

    @router.api_route(PAGE, methods=READ)
    async def page() -> Response:
        return HTMLResponse(HTML, headers={"cache-control": "no-cache"})

    @router.get(PAGE + "/{name}")
    async def asset(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in ASSETS:
            raise NotFound(f"There is nothing at {PAGE}/{name[:100]}.")
        headers = {"cache-control": f"max-age={WEEK}"}
        return FileResponse(folder / name, media_type=ASSETS[name], headers=headers)

    return router
