"""ClickHouse's own engine, in this process, behind as much of its HTTP interface as a collector and a test use.

    python clickhouse_server.py PORT

A statement is the body of a POST, or stands in its address as `query`, and then the body is the rows to insert.
"""

import re
import sys
import tempfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from chdb.session import Session  # type: ignore[import-not-found, unused-ignore]

INSERT = re.compile(r"INSERT INTO (\w+) \(([\w.,]+)\) FORMAT (\w+)")


class Handler(BaseHTTPRequestHandler):
    session: Any

    def do_GET(self) -> None:
        self.answer(200, b"Ok.\n")

    def do_POST(self) -> None:
        body = self.body()
        try:
            statement = parse_qs(urlsplit(self.path).query).get("query", [""])[0]
            found = self.insert(statement, body) if statement else self.session.query(body.decode()).bytes()
        except Exception as error:
            self.answer(500, str(error).encode())
        else:
            self.answer(200, found or b"")

    def insert(self, statement: str, rows: bytes) -> bytes:
        found = INSERT.fullmatch(statement)
        if found is None:
            raise ValueError(f"not an insert that is known here: {statement}")
        table, columns, form = found.groups()
        described = f"SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = '{table}'"
        lines = self.session.query(described, "TabSeparatedRaw").bytes().decode().splitlines()
        types = dict(line.split("\t", 1) for line in lines)
        structure = ", ".join(f"`{name}` {types[name]}" for name in columns.split(",")).replace("'", "\\'")
        with tempfile.NamedTemporaryFile() as file:
            file.write(rows)
            file.flush()
            taken = ", ".join(f"`{name}`" for name in columns.split(","))
            self.session.query(
                f"INSERT INTO {table} ({taken}) SELECT * FROM file('{file.name}', {form}, '{structure}')"
            )
        return b""

    def body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        Handler.session = Session(folder)
        Handler.session.query("CREATE DATABASE otel ENGINE = Atomic")
        Handler.session.query("USE otel")
        HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
