"""A local OTLP/HTTP sink in a process of its own: reads each request and answers 200, or does what its argument says.

`python -m benchmarks.sink [slow|silent|503]` prints its port; it counts the spans that it took, which is printed when
its standard input is closed, if that is a pipe.
"""

import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_MANNER = sys.argv[1] if len(sys.argv) > 1 else "taking"
_bodies: list[bytes] = []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if _MANNER == "silent":
            threading.Event().wait()
        if _MANNER == "slow":
            time.sleep(1.0)
        if len(sys.argv) > 1 and _MANNER != "503":
            _bodies.append(body)
        self.send_response(503 if _MANNER == "503" else 200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


def _spans(body: bytes) -> int:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest.FromString(body)
    return sum(len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    print(server.server_port, flush=True)
    if len(sys.argv) > 1:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdin.read()
        print(sum(map(_spans, _bodies)), flush=True)
    else:
        sys.stdout.close()
        server.serve_forever()
