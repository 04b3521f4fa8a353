"""What the tests of the bindings share: phones in a folder, a real server, and people who decide at its desks."""

import json
import os
import struct
import tempfile
import unittest
import urllib.request
import zlib

from fengqiao import DraftInput, FieldValue, PhoneLibrary

URL = os.environ["FENGQIAO_SERVER_URL"]
LOGIN = os.environ["FENGQIAO_LOGIN"]
OTHER = os.environ["FENGQIAO_OTHER_LOGIN"]
LEAVER = os.environ["FENGQIAO_LEAVER_LOGIN"]
SUPERVISOR = os.environ["FENGQIAO_SUPERVISOR_LOGIN"]
ADMIN = os.environ["FENGQIAO_ADMIN_LOGIN"]
PASSWORD = os.environ["FENGQIAO_PASSWORD"]
COMMUNITY = os.environ["FENGQIAO_COMMUNITY"]
GRID = os.environ["FENGQIAO_GRID"]

KEY = bytes(range(32))

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def text(value):
    return FieldValue.TEXT(value)


def number(value):
    return FieldValue.NUMBER(value)


def recording():
    """An M4A with as many bytes as several pieces on the wire, another one each time."""
    sound = os.urandom(16) * 40_000
    head = b"\0\0\0\x10ftypM4A \0\0\0\0"
    return head + (len(sound) + 8).to_bytes(4, "big") + b"mdat" + sound


def picture(side=64):
    """A PNG of random points, another one each time."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + os.urandom(side * 3) for _ in range(side))
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def ask(path, body=None, token=None):
    """What the server answers to somebody at a desk."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    with _OPENER.open(urllib.request.Request(URL + path, data=data, headers=headers)) as reply:
        return json.loads(reply.read() or b"null")


def desk(login):
    """The token of somebody at a desk."""
    return ask("/v1/auth/login", {"login": login, "password": PASSWORD})["access_token"]


class World(unittest.TestCase):
    """Phones in a folder that goes away with the test."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name + ".db")

    def phone(self, name="one", login=LOGIN, clock=None):
        """A phone that was logged in once."""
        phone = PhoneLibrary.open(self.path(name), KEY, clock)
        phone.log_in(URL, login, PASSWORD, name)
        return phone

    def case(self, phone, title):
        draft = DraftInput(
            community=COMMUNITY,
            fields={"title": text(title), "place.grid": text(GRID), "people_involved": number(23)},
            wording="二十三名工人要求支付工资。",
        )
        return phone.create_case(draft)
