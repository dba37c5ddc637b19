"""Applications that say what they have read: one JSON line a request, as their servers understood it.

    applications.py tornado|wsgiref|php      prints its port first

Tornado and wsgiref read the bytes themselves; PHP gets them from wsgiref by way of CGI, as php-cgi does
behind every server, and says on its stderr what it makes of the names: to HEAD it says nothing else.
"""
import json
import subprocess
import sys
import tempfile
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer


def say(line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def tornado_application():
    from tornado.httpserver import HTTPServer
    from tornado.httputil import HTTPHeaders, ResponseStartLine
    from tornado.ioloop import IOLoop
    from tornado.netutil import bind_sockets

    def answer(request):
        say(
            {
                "method": request.method,
                "target": request.uri,
                "headers": [[name, value] for name, value in request.headers.get_all()],
                "bytes": len(request.body),
            }
        )
        start = ResponseStartLine("HTTP/1.1", 200, "OK")
        request.connection.write_headers(start, HTTPHeaders({"Content-Length": "2"}))
        if request.method != "HEAD":
            request.connection.write(b"ok")
        request.connection.finish()

    sockets = bind_sockets(0, "127.0.0.1")
    HTTPServer(answer).add_sockets(sockets)
    say({"port": sockets[0].getsockname()[1]})
    IOLoop.current().start()


class Quiet(WSGIRequestHandler):
    timeout = 60

    def log_message(self, *_):
        pass


class Threads(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        pass


def body_of(environ):
    length = environ.get("CONTENT_LENGTH") or "0"
    return environ["wsgi.input"].read(int(length)) if length.isdigit() else b""


def variables_of(environ):
    return [[name[5:], value] for name, value in environ.items() if name.startswith("HTTP_")]


def wsgi(environ, start_response):
    body = body_of(environ)
    query = environ.get("QUERY_STRING")
    say(
        {
            "method": environ["REQUEST_METHOD"],
            "target": environ["PATH_INFO"] + ("?" + query if query else ""),
            "headers": variables_of(environ),
            "bytes": len(body),
        }
    )
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


SCRIPT = """<?php
$headers = [];
foreach ($_SERVER as $name => $value)
  if (str_starts_with($name, 'HTTP_')) $headers[] = [substr($name, 5), $value];
file_put_contents('php://stderr', json_encode([
  'method' => $_SERVER['REQUEST_METHOD'], 'target' => $_SERVER['REQUEST_URI'],
  'headers' => $headers, 'bytes' => strlen(file_get_contents('php://input')),
], JSON_INVALID_UTF8_SUBSTITUTE));
"""


def php(environ, start_response):
    body = body_of(environ)
    passed = {k: v for k, v in environ.items() if isinstance(v, str) and "\0" not in v}
    variables = {
        **{k: v for k, v in passed.items() if k.startswith("HTTP_")},
        **{k: passed.get(k, "") for k in ("REQUEST_METHOD", "QUERY_STRING", "CONTENT_TYPE")},
        "CONTENT_LENGTH": str(len(body)),
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REDIRECT_STATUS": "200",
        "REQUEST_URI": environ["PATH_INFO"],
        "SCRIPT_FILENAME": script.name,
        "PATH": "/usr/bin:/bin",
    }
    result = subprocess.run(["php-cgi"], input=body, env=variables, capture_output=True)
    say(json.loads(result.stderr))
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


def wsgi_application(application):
    server = Threads(("127.0.0.1", 0), Quiet)
    server.set_app(application)
    say({"port": server.server_port})
    server.serve_forever()


kind = sys.argv[1]
if kind == "tornado":
    tornado_application()
elif kind == "wsgiref":
    wsgi_application(wsgi)
else:
    script = tempfile.NamedTemporaryFile("w", suffix=".php")
    script.write(SCRIPT)
    script.flush()
    wsgi_application(php)
