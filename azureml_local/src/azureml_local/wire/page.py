"""The page for people: jobs, models, endpoints, the ledger. Needs the cookie that the admin secret buys."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from azureml_local.errors import NotFound, ServiceError
from azureml_local.execution.workspace import Workspace
from azureml_local.page import times, views
from azureml_local.wire.arm import integer, route, workspace_of

if TYPE_CHECKING:
    from jinja2 import Environment

_FILES = Path(views.__file__).parent
_MEDIA_TYPES = {"style.css": "text/css", "page.js": "text/javascript"}
# Nothing but this server's own files: whatever slips into a page can load nothing and run nothing.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_COOKIE_LIFETIME = 30 * 86400
_JOBS = 100  # of the list, until more are asked for

Values = dict[str, Any]
Part = Callable[[Request], Values]


def _page(path: str, template: str, section: str, **parts: Part) -> Route:
    """A page made of parts; with ?part=NAME it answers that part alone, for a page that follows it."""

    def show(request: Request) -> Response:
        if "secret" in request.query_params:
            return _with_cookie(request, request.query_params["secret"], _without_secret(request))
        if not _signed_in(request):
            return _sign_in_page(request, _without_secret(request))
        wanted = request.query_params.get("part")
        try:
            if wanted is not None:
                return _part(request, wanted, parts)
            values: Values = {"section": section}
            for part in parts.values():
                values |= part(request)
            return _html(f"{template}.html", values)
        except ServiceError as error:
            shown = {"section": "", "status": error.status, "message": error.message}
            return _html("error.html", shown, error.status)

    return route(path, GET=show)


def _part(request: Request, wanted: str, parts: dict[str, Part]) -> Response:
    if wanted not in parts:
        raise NotFound("The page has no such part.")
    values = parts[wanted](request)
    answer = _html(f"{wanted}.html", values)
    answer.headers["X-Final"] = str(bool(values.get("final"))).lower()
    return answer


def _jobs(request: Request) -> Values:
    return views.job_list(workspace_of(request), max(1, integer(request, "most", _JOBS)))


def _progress(request: Request) -> Values:
    name, step = request.path_params["name"], request.query_params.get("step")
    found = request.query_params.get("find")
    query = urlencode({**({"step": step} if step else {}), **({"find": found} if found else {})})
    return {"follow": f"?{query}", **views.progress(workspace_of(request), name, step)}


def _log(request: Request) -> Values:
    query = request.query_params
    name, wanted = request.path_params["name"], query.get("find", "").strip()
    return views.log(workspace_of(request), name, query.get("step"), wanted)


def _curve(request: Request) -> Values:
    return views.metrics(workspace_of(request), request.path_params["name"])


def _details(request: Request) -> Values:
    return views.details(workspace_of(request), request.path_params["name"])


def _comparison(request: Request) -> Values:
    return views.compared(workspace_of(request), request.query_params.getlist("job"))


def cancel(request: Request) -> Response:
    """Ask the job to end, and show it. Another site's form comes without the cookie, which is Lax."""
    name = request.path_params["name"]
    address = f"/jobs/{quote(name, safe='')}"
    if not _signed_in(request):
        return _sign_in_page(request, address)
    try:
        workspace_of(request).jobs.cancel(name)
    except ServiceError as error:
        shown = {"section": "", "status": error.status, "message": error.message}
        return _html("error.html", shown, error.status)
    return RedirectResponse(address, 303, dict(_HEADERS))


def sign_in(request: Request) -> Response:
    """Exchange the admin secret, from a form, for the cookie."""
    form = parse_qs(request.state.raw.decode(errors="replace"))
    onward = form.get("next", ["/"])[0]
    if not onward.startswith("/") or onward.startswith(("//", "/\\")):  # never to another host
        onward = "/"
    return _with_cookie(request, form.get("secret", [""])[0], onward)


def file(request: Request) -> Response:
    """The page's style and script, which are no secret."""
    name = request.path_params["file"]
    if name not in _MEDIA_TYPES:
        raise NotFound(f"There is no file {name}.")
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
    return Response((_FILES / name).read_bytes(), 200, headers, _MEDIA_TYPES[name])


def _signed_in(request: Request) -> bool:
    given = request.cookies.get(_cookie_name(workspace_of(request)), "")
    return hmac.compare_digest(given.encode(), _cookie(workspace_of(request)).encode())


def _with_cookie(request: Request, secret: str, onward: str) -> Response:
    workspace = workspace_of(request)
    if not hmac.compare_digest(secret.encode(errors="replace"), workspace.secrets.admin.encode()):
        return _sign_in_page(request, onward, wrong=True)
    answer = RedirectResponse(onward, 303, dict(_HEADERS))
    # Lax: the link to a job may stand on another page, say of a flow's run.
    answer.set_cookie(
        _cookie_name(workspace),
        _cookie(workspace),
        _COOKIE_LIFETIME,
        secure=True,
        httponly=True,
        samesite="lax",
    )
    return answer


def _sign_in_page(request: Request, onward: str, *, wrong: bool = False) -> Response:
    return _html("sign_in.html", {"next": onward, "wrong": wrong}, 401)


def _without_secret(request: Request) -> str:
    query = [(k, v) for k, v in request.query_params.multi_items() if k not in ("secret", "part")]
    path: bytes = request.scope["raw_path"]
    return path.decode("ascii") + (f"?{urlencode(query)}" if query else "")


def _cookie_name(workspace: Workspace) -> str:
    return f"azureml_local_{workspace.settings.port}"  # browsers keep cookies of all ports together


def _cookie(workspace: Workspace) -> str:
    """What the browser keeps: follows from the admin secret, and does not tell it."""
    return hmac.new(workspace.secrets.admin.encode(), b"page", hashlib.sha256).hexdigest()


def _html(template: str, values: Values, status: int = 200) -> HTMLResponse:
    return HTMLResponse(_templates().get_template(template).render(values), status, dict(_HEADERS))


@lru_cache
def _templates() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(_FILES / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["moment"] = times.moment
    return templates


def _of_workspace(values: Callable[[Workspace], Values]) -> Part:
    return lambda request: values(workspace_of(request))


routes = [
    _page("/", "jobs", "Jobs", job_list=_jobs),
    _page("/jobs/{name}", "job", "Jobs", progress=_progress, curve=_curve, log=_log, details=_details),
    _page("/compare", "compare", "Jobs", comparison=_comparison),
    _page("/assets", "assets", "Assets", asset_list=_of_workspace(views.asset_list)),
    _page("/models", "models", "Models", models=_of_workspace(views.models)),
    _page("/endpoints", "endpoints", "Endpoints", endpoint_list=_of_workspace(views.endpoint_list)),
    _page("/ledger", "ledger", "Ledger", ledger_rows=_of_workspace(views.ledger_rows)),
    route("/jobs/{name}/cancel", POST=cancel),
    route("/sign-in", POST=sign_in),
    route("/page/{file}", GET=file),
]
