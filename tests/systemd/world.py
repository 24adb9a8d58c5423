"""The world that cutover is proven in: a provider of keys (`world.py desk`) and an application that uses one (`world.py crm`)."""

import hashlib
import http.server
import json
import os
import secrets
import socket
import sys
import threading
import time
import urllib.error
import urllib.request

DESK, CRM = 8100, 8200
KEY_FILE = "/srv/crm/crm.env"
SESSION = "session-of-the-proof"
lock = threading.Lock()


def stamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)) if seconds else None


class Desk(http.server.BaseHTTPRequestHandler):
    """Makes, lists, ends and checks keys; takes its time for a new one until told not to. Also takes alerts."""

    keys = {"key_0": {"value": "dk_first_0123456789abcdef", "name": "the first", "made": time.time(), "used": None}}
    slow, mints, asked, alerts = 0.0, 0, 0, []

    def answer(self, status, body=None):
        data = json.dumps(body).encode() if body is not None else b""
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def body(self):
        return json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"null")

    def bearer(self):
        return self.headers.get("authorization", "").removeprefix("Bearer ")

    def do_GET(self):
        if self.path == "/facts":
            with lock:
                alive = sorted(self.keys)
                self.answer(200, {"mints": Desk.mints, "asked": Desk.asked, "alive": alive, "alerts": Desk.alerts})
        elif self.path == "/use":
            with lock:
                found = [key for key in self.keys.values() if key["value"] == self.bearer()]
                for key in found:
                    key["used"] = time.time()
            self.answer(200 if found else 401, {})
        elif self.bearer() != SESSION:
            self.answer(401, {})
        else:
            with lock:
                rows = [
                    {"id": id, "name": key["name"], "created_at": stamp(key["made"]), "last_used_at": stamp(key["used"])}
                    for id, key in self.keys.items()
                ]
            self.answer(200, rows)

    def do_POST(self):
        body = self.body()
        if self.path == "/alerts":
            Desk.alerts.append(body.get("kind"))
            self.answer(200, {})
        elif self.path == "/slow":
            Desk.slow = float(body)
            self.answer(200, {})
        elif self.bearer() != SESSION:
            self.answer(401, {})
        else:
            Desk.asked += 1
            began = time.monotonic()
            while time.monotonic() - began < Desk.slow:
                time.sleep(0.1)
            with lock:
                Desk.mints += 1
                id, value = f"key_{Desk.mints}", f"dk_{secrets.token_hex(16)}"
                self.keys[id] = {"value": value, "name": body["name"], "made": time.time(), "used": None}
            self.answer(201, {"id": id, "key": value})

    def do_DELETE(self):
        if self.bearer() != SESSION:
            self.answer(401, {})
            return
        with lock:
            gone = self.keys.pop(self.path.rsplit("/", 1)[1], None)
        self.answer(204 if gone else 404)

    def log_message(self, *_):
        pass


class Crm(http.server.BaseHTTPRequestHandler):
    """Reads its key when it starts, uses it without a pause, and tells which one it runs with."""

    key, calls, refused = "", 0, 0

    def do_GET(self):
        print_of = "sha256:" + hashlib.sha256(Crm.key.encode()).hexdigest()[:16]
        data = json.dumps({"fingerprint": print_of, "calls": Crm.calls, "refused": Crm.refused}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass

    @staticmethod
    def use():
        while True:
            request = urllib.request.Request(f"http://127.0.0.1:{DESK}/use", headers={"authorization": f"Bearer {Crm.key}"})
            try:
                urllib.request.urlopen(request, timeout=5).close()
            except urllib.error.HTTPError:
                Crm.refused += 1
            Crm.calls += 1
            time.sleep(0.1)


def ready():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.connect(os.environ["NOTIFY_SOCKET"].replace("@", "\0", 1))
        line.send(b"READY=1")


def serve(port, handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    ready()
    server.serve_forever()


if sys.argv[1] == "desk":
    serve(DESK, Desk)
else:
    try:
        # An application that takes its time to start.
        time.sleep(float(open("/run/crm-takes").read()))
    except FileNotFoundError:
        pass
    lines = dict(line.strip().split("=", 1) for line in open(KEY_FILE) if "=" in line)
    Crm.key = lines.get("CRM_KEY_NEW") or lines["CRM_KEY"]
    threading.Thread(target=Crm.use, daemon=True).start()
    serve(CRM, Crm)
