"""Several orgs out of one: each door is an address of its own that passes requests on to the embedded org, counts them,
and fails as it is told to."""

import http.client
import json
import re
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BUSY = (503, b"Service Unavailable")
USED_UP = (
    403,
    b'[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]',
)


class Server(ThreadingHTTPServer):
    """Says nothing about connections of processes that were killed."""

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Door:
    """An org's address. `rule(request)` gives a response of its own, or None to pass the request on; it may wait."""

    def __init__(self, org_url):
        self.target = urllib.parse.urlsplit(org_url).netloc
        self.requests = []
        self.usage = []
        self.rule = lambda request: None
        door = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self):
                door.serve(self)

            do_GET = do_POST = do_DELETE = handle_one

            def log_message(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def queries(self):
        """The objects of the queries that arrived, in their order; those that got no result as well."""
        targets = (urllib.parse.unquote_plus(one) for one in self.requests)
        return [re.search(r"\bFROM (\w+)", one)[1] for one in targets if "/query" in one and "?q=" in one]

    def calls(self):
        """The requests to the API; a login is none."""
        return [one for one in self.requests if "/oauth2/" not in one]

    def serve(self, handler):
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        request = f"{handler.command} {handler.path}"
        self.requests.append(request)
        status, headers, answer = self.answer(handler, request, body)
        try:
            handler.send_response_only(status)
            for name, value in headers:
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(answer)))
            handler.end_headers()
            handler.wfile.write(answer)
        except OSError:
            # Whoever asked was killed.
            handler.close_connection = True

    def answer(self, handler, request, body):
        own = self.rule(request)
        if own:
            return own[0], [("Content-Type", "application/json")], own[1]
        passed = {name: value for name, value in handler.headers.items() if name.lower() not in ("host", "accept-encoding")}
        connection = http.client.HTTPConnection(self.target, timeout=30)
        connection.request(handler.command, handler.path, body, passed)
        response = connection.getresponse()
        answer = response.read()
        used = response.getheader("Sforce-Limit-Info")
        if used:
            self.usage.append(int(re.search(r"api-usage=(\d+)", used)[1]))
        if "/oauth2/token" in request and response.status == 200:
            login = json.loads(answer)
            login["instance_url"] = self.url
            answer = json.dumps(login).encode()
        return response.status, [("Content-Type", response.getheader("Content-Type", "text/plain"))], answer


class Stall:
    """A rule that holds the nth request that matches, and says when it does."""

    def __init__(self, pattern, nth=1):
        self.pattern, self.left = re.compile(pattern), nth
        self.reached, self.released = threading.Event(), threading.Event()

    def __call__(self, request):
        if self.left > 0 and self.pattern.search(urllib.parse.unquote_plus(request)):
            self.left -= 1
            if self.left == 0:
                self.reached.set()
                self.released.wait(60)
        return None


def first(times, pattern, response):
    """A rule that gives the first requests that match a response of its own."""
    left = [times]

    def rule(request):
        if left[0] > 0 and re.search(pattern, urllib.parse.unquote_plus(request)):
            left[0] -= 1
            return response
        return None

    return rule
