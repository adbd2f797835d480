#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The demonstration of quickstart.sh --kns at its smallest: what it prints and draws, what it leaves behind, also after
Ctrl-C and after a step that failed.

usage: demo_test.py BUILD_DIR"""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading

from cluster import Checks, need_root, skip
from tools_test import TOOLS, Terminal

sys.path.insert(0, TOOLS)
import elastic_demo  # noqa: E402  pylint: disable=wrong-import-position

KNS = 2
DEMO = os.path.join(TOOLS, "elastic_demo.py")
SIZE = ("--kns", str(KNS), "--seconds", "1", "--keys", "2000", "--rate", "500")
EVENTS = ("KN 1 joins", "KN 0 drained", "KN 0 let in", "KN 1 kill -9", "KN 1 back")
STEP_S = 120


def need_matplotlib():
    if subprocess.run(["/usr/bin/python3", "-c", "import matplotlib"], capture_output=True, check=False).returncode != 0:
        skip("needs matplotlib (apt install python3-matplotlib)")


def left(pid, folder):
    """What a demonstration has left behind of what carries its process id or lies in its folder."""
    spaces = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout.split("\n")
    return [s for s in spaces if re.match(rf"dn[ck]{pid}(s\d+)?\b", s)] + os.listdir(folder)


def whole(check, build, folder, out):
    """From the first step to the picture, with its output in a file."""
    files = {"json": os.path.join(out, "demo.json"), "png": os.path.join(out, "demo.png")}
    process = subprocess.Popen(["/usr/bin/python3", DEMO, build, *SIZE, "--json", files["json"], "--png", files["png"]],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": folder})
    said, complaints = process.communicate(timeout=5 * STEP_S)
    check("the demonstration ends well", process.returncode == 0 and not complaints, said + complaints)
    for words in ("[6/7]", *(f"==> {event}" for event in EVENTS), "clients: ", " 0 wrong, 0 lost", files["png"]):
        check(f"it says `{words}`", words in said, "" if words in said else said)
    check.equal("it leaves nothing behind", left(process.pid, folder), [])
    with open(files["png"], "rb") as picture:
        check("the picture is one", picture.read(8) == b"\x89PNG\r\n\x1a\n")
    with open(files["json"], encoding="utf-8") as recording:
        recording = json.load(recording)
    check.equal("every event is recorded", tuple(e["what"] for e in recording["events"]), EVENTS)
    check("and how long it took, and that partitions moved", all(e["took_ms"] > 0 and e["moved"] > 0 for e in recording["events"]),
          recording["events"])
    served = {slot for look in recording["looks"] for slot, (_, requests) in look["requests"].items() if requests}
    check.equal("every KN has served", sorted(served), [str(slot) for slot in range(KNS)])
    check("the clients were answered", sum(c["ops"] for c in recording["clients"]) > 0)


def interrupted(check, build, folder, out):
    """On a terminal: the view, then Ctrl-C in the middle of it."""
    terminal = Terminal(80, {**os.environ, "TMPDIR": folder})
    process, fd = terminal.open(["/usr/bin/python3", DEMO, build, *SIZE, "--seconds", "300", "--json", os.path.join(out, "no.json"),
                                 "--png", os.path.join(out, "no.png")])
    text = terminal.read(fd, STEP_S, "█".encode())
    check("on a terminal it draws what KNs serve", "█".encode() in text, repr(text[-500:]))
    os.killpg(process.pid, signal.SIGINT)
    rest = terminal.read(fd, STEP_S)
    check.equal("Ctrl-C ends it", process.wait(timeout=STEP_S), 130)
    os.close(fd)
    check("without a stack trace", b"Traceback" not in rest, rest.decode(errors="replace")[-2000:])
    check.equal("and leaves nothing behind", left(process.pid, folder) + os.listdir(out), [])


def failing(check, folder, out):
    process = subprocess.Popen(["/usr/bin/python3", DEMO, out, *SIZE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env={**os.environ, "TMPDIR": folder})
    complaints = process.communicate(timeout=STEP_S)[1]
    check("a step that fails says what to do", process.returncode == 1 and "to do:" in complaints and "Traceback" not in complaints,
          complaints)
    check.equal("and leaves nothing behind", left(process.pid, folder), [])
    for arguments, words in ((("--kns", "17"), "1 to 16"), (("--kns", "2", "--fabric", "mlx5-soft"), "leave --fabric out"),
                             (("--kns", "2", "--port", "af_xdp"), "leave --port out"), (("--png", "x.png"), "--kns")):
        done = subprocess.run([os.path.join(TOOLS, "quickstart.sh"), *arguments], capture_output=True, text=True, check=False)
        check(f"quickstart.sh {' '.join(arguments)} is refused", done.returncode == 1 and words in done.stderr, done.stderr)


def no_report(check, folder):
    """The DPM answers null while the ring is being written: to be asked again, no reason to end."""
    path = os.path.join(folder, "telemetry")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind(path)
        server.listen(1)

        def answer():
            client = server.accept()[0]
            client.send(b'{"max_output_len": 1024}')
            client.send(json.dumps({client.recv(64).decode(): None}).encode())
            client.close()
        thread = threading.Thread(target=answer)
        thread.start()
        asked = type("Asked", (elastic_demo.DemoCluster,), {"control": path})
        check.equal("a DPM that cannot tell yet is no error", asked.partitions(asked.__new__(asked), 0), 0)
        thread.join()


def main():
    need_root()
    need_matplotlib()
    build = os.path.abspath(sys.argv[1]) if len(sys.argv) == 2 else sys.exit(__doc__)
    check = Checks(" ".join(sys.argv))
    with tempfile.TemporaryDirectory(prefix="dinomo-demo-") as here:
        folder, *outs = (os.path.join(here, name) for name in ("tmp", "whole", "interrupted", "failing"))
        for made in (folder, *outs):
            os.mkdir(made)
        no_report(check, here)
        whole(check, build, folder, outs[0])
        interrupted(check, build, folder, outs[1])
        failing(check, folder, outs[2])
    return check.finish()


if __name__ == "__main__":
    sys.exit(main())
