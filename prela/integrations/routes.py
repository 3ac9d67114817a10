"""Which route of an ASGI framework answers a request, as a template: what `http.route` wants.

Frameworks say so in the scope, each in its own way, while they handle the request. Nothing of theirs is imported, and
nothing is called that could do more than tell.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

_PARAMETER = re.compile(r"\{([^}:]*)(:[^}]*)?\}")


def route_of(scope: Mapping[str, Any]) -> str | None:
    """The template of the route, with the prefixes of what it is mounted in; None where the scope does not tell.

    Litestar names the template itself. Starlette and FastAPI name the endpoint, or the route, and the outermost router,
    in whose tree it is found; of several places the one that fits the path.
    """
    template = scope.get("path_template")
    if isinstance(template, str):
        return template
    route, endpoint = scope.get("route"), scope.get("endpoint")
    if route is None and endpoint is None:
        return None
    path = scope.get("path", "")
    found: str | None = None
    for place, leaf in _leaves(scope.get("router"), ""):
        is_this = leaf is route or (route is None and getattr(leaf, "endpoint", None) is endpoint)
        if is_this and (found is None or _fits(place, path)):
            found = place
            if _fits(place, path):
                break
    if found is None and route is not None:
        own = getattr(route, "path", None)
        found = own if isinstance(own, str) else None
    return found


def _leaves(router: Any, prefix: str, depth: int = 0) -> Iterator[tuple[str, Any]]:
    for route in getattr(router, "routes", None) or ():
        path = getattr(route, "path", None)
        place = prefix + (path if isinstance(path, str) else "")
        if hasattr(route, "endpoint"):
            yield place, route
        elif depth < 16:
            yield from _leaves(route, place, depth + 1)


def _fits(template: str, path: str) -> bool:
    pattern = "".join(
        re.escape(part) if i % 3 == 0 else ("" if i % 3 == 1 else (".*" if part == ":path" else "[^/]+"))
        for i, part in enumerate(_PARAMETER.split(template))
    )
    return re.fullmatch(pattern, path) is not None
