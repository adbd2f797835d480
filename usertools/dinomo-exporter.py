#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Serves the figures of the nodes on this machine to Prometheus, and their health to whoever asks.

  /metrics   all figures and latency histograms, in Prometheus' text format
  /healthz   200 if every node lives, else 503: restart what the answer names
  /readyz    200 if every node is ready for clients, else 503 and why not

Exit status: 0; 1 if the address cannot be had or, with --once, no node answers; 2 if wrongly used."""
import http.server
import json
import socket
import sys

from dinomo_tools import EXIT_OK, Trouble, parser, run
from dinomo_tools.prometheus import Families
from dinomo_tools.telemetry import NoAnswer, add_socket_option, find_nodes, need_nodes

PROG = "dinomo-exporter"


def close_all(nodes):
    for node in nodes:
        node.close()


def metrics(nodes):
    families = Families()
    failed = 0
    for node in nodes:
        try:
            families.add_node(node)
        except NoAnswer:
            failed += 1
    families.add("dinomo_exporter_nodes", "gauge", "Nodes on this machine that answered.", {}, len(nodes) - failed)
    families.add("dinomo_exporter_failures", "gauge", "Nodes that were asked and did not answer.", {}, failed)
    return families.text()


def judged(nodes, what):
    """(status, text) of /healthz and /readyz."""
    verdicts = {}
    for node in nodes:
        try:
            health = node.health()
            verdicts[f"{node.kind} {node.name}"] = "ok" if health[what] else health["why"]
        except NoAnswer as error:
            verdicts[node.path] = str(error)
    good = bool(verdicts) and all(v == "ok" for v in verdicts.values())
    return (200 if good else 503), json.dumps(verdicts or {"none": "no node answers here"}, indent=2) + "\n"


class Handler(http.server.BaseHTTPRequestHandler):
    sockets = ()
    timeout = 10

    def do_GET(self):  # pylint: disable=invalid-name  # http.server's
        kind = "application/json"
        try:
            nodes = find_nodes(self.sockets)
        except (Trouble, PermissionError) as error:
            return self.answer(503, "text/plain", f"{error}\n")
        try:
            path = self.path.split("?")[0]
            if path == "/metrics":
                status, text, kind = 200, metrics(nodes), "text/plain; version=0.0.4; charset=utf-8"
            elif path == "/healthz":
                status, text = judged(nodes, "live")
            elif path == "/readyz":
                status, text = judged(nodes, "ready")
            else:
                status, text, kind = 404, "there are /metrics, /healthz and /readyz\n", "text/plain"
        finally:
            close_all(nodes)
        return self.answer(status, kind, text)

    def answer(self, status, kind, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        pass  # a line for each scrape helps nobody


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


class Server6(Server):
    address_family = socket.AF_INET6


def main():
    to = parser(PROG, __doc__)
    to.add_argument("-l", "--listen", default="127.0.0.1:9464", metavar="ADDRESS:PORT",
                    help="where to serve; default 127.0.0.1:9464; [::]:9464 for everybody")
    to.add_argument("--once", action="store_true", help="print /metrics and end")
    add_socket_option(to)
    arguments = to.parse_args()
    if arguments.once:
        nodes = need_nodes(arguments.socket)
        print(metrics(nodes), end="")
        close_all(nodes)
        return EXIT_OK
    host, _, port = arguments.listen.rpartition(":")
    host = host.strip("[]")
    if not port.isdigit() or int(port) > 65535:
        to.error(f"--listen is '{arguments.listen}': write it as 127.0.0.1:9464")
    Handler.sockets = arguments.socket
    try:
        server = (Server6 if ":" in host else Server)((host, int(port)), Handler)
    except OSError as error:
        raise Trouble(f"cannot listen on {arguments.listen}: {error.strerror}") from error
    with server:
        print(f"{PROG}: serving http://{arguments.listen}/metrics", file=sys.stderr, flush=True)
        server.serve_forever()
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(run(PROG, main))
