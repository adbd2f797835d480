#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""memcached's protocol with clients that were not written for Dinomo: over UDP into the appliance's port, and
over TCP by the kernel's stack. A client that is not installed is named and left out.

    memcached_test.py BUILD_DIR [--workers N]
"""
import argparse
import re
import shutil
import struct
import subprocess
import sys
import time

import cluster

PORT = 11211
STRANGER = "10.77.0.99"  # beside the client, and not allowed


class Udp:
    """A client of the test's own, in the client's namespace: exact bytes to exact bytes."""

    SCRIPT = """
import socket, struct, sys
server, port, text, wait = sys.argv[1], int(sys.argv[2]), sys.stdin.buffer.read(), float(sys.argv[3])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[4], 0))
s.settimeout(wait)
s.sendto(struct.pack('>HHHH', 0x1234, 0, 1, 0) + text, (server, port))
parts, total = {}, None
try:
    while total is None or len(parts) < total:
        data = s.recv(65536)
        identity, sequence, total, reserved = struct.unpack('>HHHH', data[:8])
        assert identity == 0x1234 and reserved == 0 and sequence < total and sequence not in parts
        parts[sequence] = data[8:]
except TimeoutError:
    pass
sys.stdout.buffer.write(b''.join(parts[i] for i in sorted(parts)))
"""

    def __init__(self, c):
        self.c = c

    def ask(self, text, wait=10, source=""):
        return self.c.client([sys.executable, "-c", self.SCRIPT, self.c.SERVER_IP, str(PORT), str(wait), source],
                             text=False, input=text).stdout


def own_requests(c, check):
    udp = Udp(c)
    check.equal("set over UDP", udp.ask(b"set a 7 0 5\r\nvalue\r\n"), b"STORED\r\n")
    check.equal("get over UDP", udp.ask(b"get a\r\n"), b"VALUE a 7 5\r\nvalue\r\nEND\r\n")
    check.equal("a native client sees it", c.cli("get", "a").stdout.strip(), "value")
    many = b"".join(b"set k%d 0 0 200\r\n%s\r\n" % (i, b"%03d" % i * 66 + b"xx") for i in range(40))
    check("forty commands, one message", udp.ask(many) == b"STORED\r\n" * 40)
    got = udp.ask(b"get " + b" ".join(b"k%d" % i for i in range(40)) + b"\r\n")
    wanted = b"".join(b"VALUE k%d 0 200\r\n%s\r\n" % (i, b"%03d" % i * 66 + b"xx") for i in range(40))
    check("a multi-get of several datagrams", got == wanted + b"END\r\n", f"({len(got)} bytes)")
    big = bytes(range(256)) * 240
    check.equal("a value of 60 KiB", udp.ask(b"set big 0 0 61440\r\n" + big + b"\r\n"), b"STORED\r\n")
    check("and back", udp.ask(b"get big\r\n") == b"VALUE big 0 61440\r\n" + big + b"\r\nEND\r\n")
    stats = udp.ask(b"stats\r\n").decode()
    check("stats", "STAT cmd_get " in stats and stats.endswith("END\r\n"))
    check("an address that is not allowed gets no answer",
          udp.ask(b"version\r\n", wait=0.5, source=STRANGER) == b"")
    stats = udp.ask(b"stats\r\n").decode()
    check("and is counted", "STAT dinomo_udp_dropped_source 1\r\n" in stats)


TCP_SCRIPT = """
import socket, time
def connect():
    s = socket.create_connection(('127.0.0.1', %d))
    s.settimeout(20)
    return s
def all_of(s):
    out = b''
    while True:
        data = s.recv(65536)
        if not data:
            return out
        out += data
s = connect()
s.sendall(b''.join(b'set t%%d 0 0 3\\r\\nabc\\r\\nmg t%%d v k\\r\\n' %% (i, i) for i in range(500)))
s.shutdown(socket.SHUT_WR)
expected = b''.join(b'STORED\\r\\nVA 3 kt%%d\\r\\nabc\\r\\n' %% i for i in range(500))
print('pipeline', all_of(s) == expected)
s = connect()
value = b'v' * 61440
for part in (b'set la', b'rge 0 0 61440\\r', b'\\n', value[:30000], value[30000:], b'\\r', b'\\n',
             b'get' + b' large' * 300 + b'\\r\\nquit\\r\\n'):
    s.sendall(part)
one = b'VALUE large 0 61440\\r\\n' + value + b'\\r\\n'
print('large', all_of(s) == b'STORED\\r\\n' + one * 300 + b'END\\r\\n')
s = connect()
s.sendall(b'set x 0 0 2000000\\r\\n' + b'x' * 2000000 + b'\\r\\nset y 0 zero 4\\r\\nquit\\r\\nmn\\r\\nquit\\r\\n')
print('refused values are not carried out', all_of(s) == b'SERVER_ERROR object too large for cache'
      b'\\r\\nCLIENT_ERROR bad command line format\\r\\nMN\\r\\n')
s = connect()
s.sendall(b'flush_all\\r\\nquit\\r\\n')
print('flush_all is refused', all_of(s).startswith(b'SERVER_ERROR flush_all is not served'))
s = connect()
s.sendall(b'\\x80' + bytes(23))
print('the binary protocol is closed', all_of(s) == b'')
# One that never reads keeps nobody else from being served.
slow = connect()
slow.sendall(b'get' + b' large' * 2000 + b'\\r\\n')
crowd = [connect() for i in range(254)]
for s in crowd:
    s.sendall(b'mn\\r\\n')
print('254 more', all(s.recv(100) == b'MN\\r\\n' for s in crowd))
more = [connect() for i in range(5)]
def served(s):
    try:
        s.sendall(b'mn\\r\\n')
        return s.recv(100) == b'MN\\r\\n'
    except OSError:
        return False
print('too many', 1 <= sum(served(s) for s in more) <= 2)
for s in crowd + more + [slow]:
    s.close()
for i in range(2000):  # the server takes leave of them by and by
    s = connect()
    if served(s):
        break
    time.sleep(0.01)
print('served again', served(s))
"""


def over_tcp(c, check):
    done = c.in_kn([sys.executable, "-c", TCP_SCRIPT % PORT], timeout=200)
    lines = done.stdout.splitlines()
    check.equal("the TCP client came to its end", (len(lines), done.stderr[-300:]), (8, ""))
    for line in lines:
        what, good = line.rsplit(" ", 1)
        check(f"TCP: {what}", good == "True")


def installed(program, package):
    if shutil.which(program):
        return True
    print(f"left out: {program} is not installed (apt install {package})", flush=True)
    return False


def memcaslap(c, check):
    if not installed("memcaslap", "libmemcached-tools"):
        return
    for what, extra in (("gets and sets", []), ("multi-gets", ["-d", "10"])):
        done = c.client(["memcaslap", "-s", f"{c.SERVER_IP}:{PORT}", "-U", "-T", "1", "-c", "4", "-x", "40000", "-X",
                         "100", "-v", "0.3", *extra])
        found = dict(re.findall(r"^(\w+): (\d+)$", done.stdout, re.M))
        check.equal(f"memcaslap: {what}, exit status", done.returncode, 0)
        check(f"memcaslap: {what}, all verified",
              int(found.get("cmd_get", 0)) > 30_000 and
              all(found.get(name) == "0" for name in ("verify_misses", "verify_failed", "packet_disorder")) and
              (found.get("get_misses") == "0" or found.get("packet_drop") != "0"), f"({found})")


PHP_SCRIPT = """
error_reporting(E_ALL & ~E_DEPRECATED);
$pool = new MemcachePool();
$pool->addServer("%s", 0, %d, false, 1, 10, 15);
$keys = array("none");
for ($i = 0; $i < 30; $i++) $keys[] = "php$i";
$got = $pool->get($keys);
$good = count($got) === 30;
for ($i = 0; $i < 30; $i++) $good = $good && $got["php$i"] === str_repeat("value$i,", 20);
echo $good ? "good" : "bad";
"""


def php(c, check):
    if not installed("php", "php8.2-cli php8.2-memcache"):
        return
    if "memcache" not in c.client(["php", "-m"]).stdout.split():
        print("left out: PHP has no memcache module (apt install php8.2-memcache)", flush=True)
        return
    udp = Udp(c)
    for i in range(30):
        value = b"value%d," % i * 20
        udp.ask(b"set php%d 0 0 %d\r\n%s\r\n" % (i, len(value), value))
    done = c.client(["php", "-r", PHP_SCRIPT % (c.SERVER_IP, PORT)])
    check.equal("PHP's multi-get over UDP, without a word of lost packets", done.stdout + done.stderr, "good")


def memccapable(c, check):
    if not installed("memccapable", "libmemcached-tools"):
        return
    done = c.in_kn(["memccapable", "-h", "127.0.0.1", "-p", str(PORT), "-a"])
    names = re.findall(r"ascii (\w+(?: noreply)?) +(?:\[pass\])?", done.stdout)
    passed = re.findall(r"ascii (\w+(?: noreply)?) +\[pass\]", done.stdout)
    check("memccapable knows its commands", len(names) > 20, f"({len(names)})")
    # A durable store is not emptied by a word: doc/memcached.md.
    check.equal("memccapable passes but for flush_all", sorted(set(names) - set(passed)),
                ["flush", "flush noreply"])


def write_capture(path, datagrams):
    """A pcap of UDP datagrams: (text, from our port?)."""
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for text, ours in datagrams:
            ports = (PORT, 40000) if ours else (40000, PORT)
            udp = struct.pack(">HHHH", *ports, 8 + len(text), 0) + text
            ip = struct.pack(">BBHIBBH4s4s", 0x45, 0, 20 + len(udp), 0, 64, 17, 0, bytes(4), bytes(4)) + udp
            frame = bytes(12) + b"\x08\x00" + ip
            file.write(struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame)


def dissector_udp(c, check):
    """The dissector of tshark 4.0 does not know the frame of UDP: it gets what we answer without it."""
    if not installed("tshark", "tshark"):
        return
    udp, datagrams = Udp(c), []
    for text in (b"set u 5 0 2\r\nhi\r\n", b"gets u\r\n", b"incr none 1\r\n", b"delete u\r\n", b"version\r\n"):
        datagrams += [(text, False), (udp.ask(text), True)]
    capture = c.path("udp.pcap")
    write_capture(capture, datagrams)
    read = subprocess.run(
        ["tshark", "-r", capture, "-d", f"udp.port=={PORT},memcache", "-Y", "memcache", "-T", "fields", "-e",
         "memcache.command", "-e", "memcache.response", "-e", "memcache.key", "-e", "memcache.value", "-e",
         "memcache.version"], capture_output=True, text=True).stdout
    check("tshark reads what came over UDP, its frame taken off", all(
        what in read for what in ("set", "STORED", "gets", "u\thi", "NOT_FOUND", "DELETED", "1.6.18-dinomo")), repr(read))


def dissector(c, check):
    """An independent reader of the protocol."""
    if not installed("tshark", "tshark"):
        return
    capture = c.path("capture.pcap")
    watcher = subprocess.Popen(c._in_kn_namespace(
        ["tshark", "-i", "lo", "-f", f"tcp port {PORT}", "-w", capture]),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        for line in watcher.stderr:
            if "Capture started" in line:
                break
        script = ("import socket; s = socket.create_connection(('127.0.0.1', %d)); f = s.makefile('rb')\n"
                  "for text, lines in ((b'set d 5 0 2\\r\\nhi\\r\\n', 1), (b'gets d\\r\\n', 3), (b'incr none 1\\r\\n', 1),\n"
                  "                    (b'delete d\\r\\n', 1), (b'version\\r\\n', 1)):\n"
                  "    s.sendall(text)\n"
                  "    for i in range(lines): f.readline()\n" % PORT)
        c.in_kn([sys.executable, "-c", script])
        time.sleep(1)  # tshark writes what it has by and by
    finally:
        watcher.terminate()
        watcher.communicate()
    read = subprocess.run(
        ["tshark", "-r", capture, "-d", f"tcp.port=={PORT},memcache", "-Y", "memcache", "-T", "fields", "-e",
         "memcache.command", "-e", "memcache.response", "-e", "memcache.key", "-e", "memcache.version"],
        capture_output=True, text=True).stdout
    for what in ("set", "STORED", "gets", "incr", "NOT_FOUND", "delete", "DELETED", "1.6.18-dinomo"):
        check(f"tshark reads {what}", what in read)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--workers", type=int, default=2)
    a = parser.parse_args()
    cluster.need_root()
    check = cluster.Checks(" ".join(sys.argv))
    lcores = ",".join(f"{w}@{w % 2}" for w in range(a.workers + 1))
    with cluster.Cluster(a.build, lcores=lcores) as c:
        c.start_dpm()
        c.start_kn("--memcached-port", str(PORT), "--memcached-networks", f"{c.CLIENT_IP},127.0.0.0/8",
                   "--memcached-tcp", f"127.0.0.1:{PORT}")
        c.wait_serving()
        c._ip("-n", c.client_ns, "addr", "add", f"{STRANGER}/24", "dev", c.client_if)
        for part in (own_requests, over_tcp, memcaslap, php, memccapable, dissector, dissector_udp):
            part(c, check)
        c.end_in_order(check)
    return check.finish()


if __name__ == "__main__":
    sys.exit(main())
