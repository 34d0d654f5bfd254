"""The gateway: takes node reports and profiles from agents, keeps them, and serves merged profiles through the Kubernetes API.

Why aiohttp: kopf brings it anyway, so it costs no further dependency, and it hands a request's TLS transport to the handler. The
aggregated API needs that: it believes the ``X-Remote-*`` headers only of a caller whose client certificate the API server's front-proxy
CA has signed, and ASGI servers don't pass the peer's certificate on.

Who runs where: the event loop only receives, answers and waits. The Kubernetes client and the database run in threads, whatever parses
profiles runs in worker processes with limited memory (:mod:`perfprofile_gateway.workers`), so that a big merge or a hostile upload
delays nobody.
"""
