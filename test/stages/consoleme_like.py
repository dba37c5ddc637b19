"""An application that takes identity as ConsoleMe does: its order of sources, its routes, its habits.

Written for these tests from what is known of ConsoleMe's behaviour, with Tornado and PyJWT as Debian
has them. MODE=header reads two headers and splits groups at commas; MODE=alb decodes the ALB's token by
itself, with base64.b64decode, which wants its padding. Neither checks who signed for whom: that the
sidecar did is the point.
"""

import base64
import json
import os
import secrets
import sys
import time
import urllib.request

import jwt
import tornado.httpserver
import tornado.ioloop
import tornado.netutil
import tornado.web

MODE = os.environ["MODE"]
KEY_URL = os.environ.get("KEY_URL", "")
JWKS_URL = os.environ.get("JWKS_URL", "")
AUDIENCE = os.environ.get("AUDIENCE", "")
# The default of ConsoleMe's helm chart, which everybody knows.
JWT_SECRET = "secret"
COOKIE = "consoleme_auth"

challenges = {}


def fetch(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read()


def user_by_cookie(handler):
    cookie = handler.get_cookie(COOKIE)
    if not cookie:
        return None
    try:
        claims = jwt.decode(cookie, JWT_SECRET, algorithms=["HS256"])
    except jwt.PyJWTError:
        return None
    return claims["user"], claims.get("groups", []), "cookie"


def user_by_header(handler):
    user = handler.request.headers.get("X-Forwarded-User")
    if not user:
        raise tornado.web.HTTPError(403, "No user detected")
    return user, handler.request.headers.get("X-Forwarded-Groups", "").split(","), "header"


def user_by_alb(handler):
    token = handler.request.headers["X-Amzn-Oidc-Data"]
    header = json.loads(base64.b64decode(token.split(".")[0]))
    claims = jwt.decode(token, fetch(KEY_URL + "/" + header["kid"]), algorithms=["ES256"])
    access_token = handler.request.headers["X-Amzn-Oidc-Accesstoken"]
    kid = jwt.get_unverified_header(access_token)["kid"]
    key = next(k for k in json.loads(fetch(JWKS_URL))["keys"] if k["kid"] == kid)
    access = jwt.decode(
        access_token,
        jwt.algorithms.RSAAlgorithm.from_jwk(json.dumps(key)),
        algorithms=["RS256"],
        audience=AUDIENCE,
    )
    return claims["email"], access.get("groups") or claims.get("groups", []), "alb"


class Base(tornado.web.RequestHandler):
    def authenticate(self):
        """The application's own cookie first: whoever has one is never asked again."""
        found = user_by_cookie(self)
        if found:
            return found
        return user_by_header(self) if MODE == "header" else user_by_alb(self)

    def client_ip(self):
        return self.request.headers.get("X-Client-Ip", "none")

    def seen(self):
        return [[name, value] for name, value in self.request.headers.get_all()]


class Health(Base):
    def get(self):
        self.write("OK")


class Profile(Base):
    def get(self):
        user, groups, how = self.authenticate()
        # Touching it makes Tornado set the _xsrf cookie.
        self.xsrf_token
        self.write({"user": user, "groups": groups, "how": how, "ip": self.client_ip()})


class Headers(Base):
    """ConsoleMe's myheaders shows a user what arrived, tokens and all."""

    def get(self):
        self.authenticate()
        self.write({"seen": self.seen()})


class Policy(Base):
    """Anything that changes something; Tornado has checked X-Xsrftoken before this runs."""

    def post(self):
        user, _, _ = self.authenticate()
        self.write({"changed_by": user, "body": self.request.body.decode()})


class NoXsrf(Base):
    def check_xsrf_cookie(self):
        pass


class Generator(NoXsrf):
    def get(self, user):
        token = secrets.token_urlsafe(16)
        challenges[token] = {"user": user, "ip": self.client_ip(), "status": "pending", "nonce": None}
        self.write(
            {
                "challenge_url": "/challenge_validator/" + token,
                "polling_url": "/noauth/v1/challenge_poller/" + token,
                "seen": self.seen(),
            }
        )


class Poller(NoXsrf):
    def get(self, token):
        challenge = challenges.get(token)
        if challenge is None or challenge["ip"] != self.client_ip():
            raise tornado.web.HTTPError(404)
        if challenge["status"] != "success":
            return self.write({"status": challenge["status"]})
        claims = {"user": challenge["user"], "groups": [], "exp": int(time.time()) + 3600}
        encoded = jwt.encode(claims, JWT_SECRET, algorithm="HS256")
        self.write({"status": "success", "cookie_name": COOKIE, "encoded_jwt": encoded})


class Validator(Base):
    def get(self, token):
        user, _, _ = self.authenticate()
        challenge = challenges.get(token)
        if challenge is None or challenge["user"] != user or challenge["ip"] != self.client_ip():
            raise tornado.web.HTTPError(403)
        challenge["nonce"] = secrets.token_urlsafe(8)
        self.xsrf_token
        self.write({"nonce": challenge["nonce"]})

    def post(self, token):
        user, _, _ = self.authenticate()
        challenge = challenges.get(token)
        nonce = json.loads(self.request.body)["nonce"]
        if challenge is None or challenge["user"] != user or challenge["nonce"] != nonce:
            raise tornado.web.HTTPError(403)
        challenge["status"] = "success"
        self.write({"success": True})


class Cli(NoXsrf):
    """Routes that authenticate by the application's cookie and by nothing else."""

    def answer(self):
        found = user_by_cookie(self)
        if found is None:
            raise tornado.web.HTTPError(401)
        self.write({"user": found[0], "seen": self.seen()})

    def get(self):
        self.answer()

    def post(self):
        self.answer()


def main():
    app = tornado.web.Application(
        [
            (r"/healthcheck", Health),
            (r"/api/v2/user_profile", Profile),
            (r"/api/v2/headers", Headers),
            (r"/api/v2/policies", Policy),
            (r"/noauth/v1/challenge_generator/(.*)", Generator),
            (r"/noauth/v1/challenge_poller/([a-zA-Z0-9_-]+)", Poller),
            (r"/api/v2/challenge_validator/([a-zA-Z0-9_-]+)", Validator),
            (r"/api/v1/get_credentials", Cli),
            (r"/api/v1/get_roles", Cli),
            (r"/api/v2/get_roles", Cli),
            (r"/api/v1/myheaders/?", Cli),
        ],
        xsrf_cookies=True,
        xsrf_cookie_kwargs={"samesite": "strict"},
    )
    [socket] = tornado.netutil.bind_sockets(0, "127.0.0.1")
    tornado.httpserver.HTTPServer(app).add_socket(socket)
    print("listening on", socket.getsockname()[1], flush=True)
    tornado.ioloop.IOLoop.current().start()


if __name__ == "__main__":
    sys.exit(main())
