# SPDX-License-Identifier: BSD-3-Clause
"""Telemetry of running nodes: DPDK's protocol, one message a question over a local socket.

    for node in find_nodes():
        print(node.info()["program"], node.stats()["items"])
"""
import errno
import glob
import json
import os
import socket

from . import Trouble

SOCKET = "dpdk_telemetry.v2"
PATIENCE_S = 3.0


def folders():
    """Where sockets may be: of systemd's services, of root, and of this user."""
    found = [os.environ.get("RUNTIME_DIRECTORY"), *sorted(glob.glob("/run/dinomo*")), "/var/run",
             os.environ.get("XDG_RUNTIME_DIR"), "/tmp"]
    return list(dict.fromkeys(os.path.join(f, "dpdk") for f in found if f))


def closed_folder():
    """PermissionError of the first folder of a service that this user may not look into; None if there is none."""
    for folder in folders():
        for place in (os.path.dirname(folder), folder):
            if os.path.isdir(place) and not os.access(place, os.R_OK | os.X_OK):
                return PermissionError(errno.EACCES, "permission denied", place)
    return None


class NoAnswer(Exception):
    """The process behind a socket is gone, or hangs."""


class Node:
    """A process that answers. Asked by one thread."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(PATIENCE_S)
        try:
            self.socket.connect(path)
            self.room = json.loads(self.socket.recv(4096))["max_output_len"]
        except PermissionError as error:
            self.close()
            error.filename = path
            raise
        except (OSError, ValueError, KeyError) as error:
            self.close()
            raise NoAnswer(f"{path}: {error}") from error
        self._about = None

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def ask(self, command, parameter=""):
        """The answer; None if the node knows no such command or parameter."""
        try:
            self.socket.send((f"{command},{parameter}" if parameter != "" else command).encode())
            reply = self.socket.recv(self.room)
            return json.loads(reply)[command]
        except (OSError, ValueError, KeyError) as error:
            raise NoAnswer(f"{self.path}: {error or 'no answer'}") from error

    def info(self):
        if self._about is None:
            self._about = self.ask("/dinomo/info")
        return self._about

    @property
    def kind(self):
        return self.info()["program"].removeprefix("dinomo-")

    @property
    def name(self):
        """For people: the KN's name, the DPM's pool."""
        about = self.info()
        return about.get("name") or os.path.basename(about.get("pool", "")) or str(about["pid"])

    def health(self):
        return self.ask("/dinomo/health")

    def stats(self, part=""):
        return self.ask("/dinomo/stats", part)

    def describe(self):
        """{name: {kind, unit, help[, label]}} of all figures, asked for by pages."""
        described = {}
        while True:
            page = self.ask("/dinomo/describe", str(len(described)))
            if not page:
                return described
            described.update(page)

    def histograms(self):
        """{name: {count, sum_ns, last_ns, counts, ...}}; none at a DPM."""
        return {name: self.ask("/dinomo/histogram", name) for name in self.ask("/dinomo/histograms") or []}

    def ports(self):
        """{port: counters} of the DPDK ports, which DPDK itself tells."""
        return {port: self.ask("/ethdev/stats", str(port)) or {} for port in self.ask("/ethdev/list") or []}


def find_nodes(paths=()):
    """Nodes that answer, KNs and DPMs in the order of their names. `paths`: these sockets and no others."""
    candidates = list(paths) or [p for f in folders() for p in sorted(glob.glob(os.path.join(f, "*", SOCKET + "*")))]
    nodes, seen = [], set()
    denied = None if paths else closed_folder()
    for path in candidates:
        try:
            node = Node(path)
            about = node.ask("/dinomo/info")  # other DPDK programs know no such thing
            if about and about["pid"] not in seen:
                seen.add(about["pid"])
                nodes.append(node)
            else:
                node.close()
        except PermissionError as error:
            denied = error
        except NoAnswer as error:
            if paths:
                raise Trouble(error) from error
    if not nodes and denied:
        raise denied
    return sorted(nodes, key=lambda n: (n.kind, n.name, n.path))


def need_nodes(paths=()):
    nodes = find_nodes(paths)
    if not nodes:
        raise Trouble("no dinomo-kn or dinomo-dpm with telemetry runs here (looked below "
                      + ", ".join(folders()) + "). A KN must not have --no-telemetry before `--`.")
    return nodes


def add_socket_option(to):
    to.add_argument("--socket", action="append", default=[], metavar="PATH",
                    help="telemetry socket of a node; may be repeated; default: all that are found here")
