"""A receiver of webhooks: checks the signature, drops repeats, prints what customers are told.

WEBHOOK_SECRET=whsec_... python docs/examples/webhook_receiver.py 9000
"""

import base64
import hmac
import json
import os
import sys
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

OLDEST_S = 300


def is_ours(secret: str, headers: Mapping[str, str], body: bytes, now_s: float) -> bool:
    """Tell whether who knows the secret signed exactly this body, not long ago."""
    message_id, sent_at = headers["webhook-id"], headers["webhook-timestamp"]
    if not sent_at.isdigit() or abs(now_s - int(sent_at)) > OLDEST_S:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.digest(key, b".".join((message_id.encode(), sent_at.encode(), body)), "sha256")
    expected = "v1," + base64.b64encode(mac).decode()
    # While a secret is changed there is a signature for the old one and for the new one.
    return any(hmac.compare_digest(expected, one) for one in headers["webhook-signature"].split())


class Receiver(BaseHTTPRequestHandler):
    secret = os.environ.get("WEBHOOK_SECRET", "")
    seen: set[str]  # a platform keeps these in its database, with what it did

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        if not is_ours(self.secret, headers, body, time.time()):  # noqa: TID251 - not a service
            self.send_response(401)
        else:
            if headers["webhook-id"] not in self.seen:
                self.seen.add(headers["webhook-id"])
                said = json.loads(body)["data"]
                print(said["order_id"], said["sequence"], said["text"]["en"], flush=True)
            self.send_response(204)
        self.end_headers()


if __name__ == "__main__":
    Receiver.seen = set()
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
