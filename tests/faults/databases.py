"""Databases that break: the way to one through a proxy, and servers of a module's own."""

from __future__ import annotations

from sqlalchemy import make_url

from tests.acceptance.site import Site
from tests.faults.proxy import Proxy


def through(url: str, proxy: Proxy) -> str:
    """The same database, reached by way of a proxy."""
    return make_url(url).set(port=proxy.port).render_as_string(hide_password=False)


def proxy_before(site: Site) -> Proxy:
    """A proxy between the site's daemons and their database; test and producer go past it."""
    port = make_url(site.url).port
    assert port is not None
    proxy = Proxy(port)
    site.configure(database={"connection": through(site.url, proxy)})
    return proxy
