#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The Debian package on a bare Debian system: debootstrap makes one, apt installs the package with what it depends on, the
units' command lines run as the units' user with the units' capabilities and no other, three KNs serve, a second version goes
in on one machine after another, and its DPM, under a load that may see no error; then it is removed and purged.

    clean_root_test.py BUILD

The machines are sandboxes over that one system; the pool and the folder of the DPM's socket are shared, as the KNs reach it
through shared memory."""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

from cluster import Checks, need_root, skip
from sandbox import NoSandbox, Sandbox

SOURCE = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
KNS = 3
SHARED = ("/run/dinomo-dpm", "/var/lib/dinomo")
SERVERS = ",".join(f"10.77.0.{2 + n}" for n in range(KNS))
RELEASE = "bookworm"
READY = "for _ in $(seq 300); do ! dinomo-stats --health >/dev/null || break; sleep 0.2; done; dinomo-stats --health"


def run(*command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                          **{"timeout": 900, **options})


def mirror():
    """Where apt of this machine takes Debian from."""
    for folder, _, files in os.walk("/etc/apt"):
        for name in sorted(files):
            if name.endswith((".list", ".sources")):
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    match = re.search(r"^(?:URIs:|deb(?: \[.*?\])?) (https?://\S+/debian/?)\s", file.read(), re.M)
                if match:
                    return match[1]
    return "http://deb.debian.org/debian"


def bare_system(folder):
    """Debian as debootstrap leaves it; skips the test where no mirror answers."""
    for needed in ("debootstrap", "dpkg-deb", "dpkg-shlibdeps", "setpriv", "nsenter"):
        if shutil.which(needed) is None:
            skip(f"needs {needed} (apt install debootstrap dpkg-dev util-linux)")
    if run("curl", "-sfm", "20", "-o", "/dev/null", f"{mirror()}/dists/{RELEASE}/InRelease").returncode != 0:
        skip(f"the mirror does not answer: {mirror()}")
    root = os.path.join(folder, "debian")
    done = run("debootstrap", "--variant=minbase", RELEASE, root, mirror())
    if done.returncode != 0:
        skip(f"debootstrap: {done.stdout[-500:]}")
    shutil.copy("/etc/resolv.conf", os.path.join(root, "etc/resolv.conf"))
    return root


def packages(build, folder):
    """Two of the same programs, the second to be taken for newer."""
    made = []
    for revision in ("1", "2"):
        done = run("bash", os.path.join(SOURCE, "usertools", "make-deb.sh"), "--build", build, "--output", folder, "--revision", revision)
        if done.returncode != 0:
            raise RuntimeError(f"make-deb.sh: {done.stdout}")
        made.append(done.stdout.strip().splitlines()[-1])
    return made


class Rack:
    """KN machines 0 to KNS - 1, the DPM on machine 0, and a machine of the clients, all on one switch."""

    def __init__(self, base, folder, check):
        self.check, self.folder = check, folder
        self.boxes = [Sandbox(f"kn{n}", over=base) for n in range(KNS)]
        self.client = Sandbox("client", over=base)

    def __enter__(self):
        for box in (*self.boxes, self.client):
            box.__enter__()
        for name in SHARED:
            place = os.path.join(self.folder, name.strip("/").replace("/", "-"))
            os.mkdir(place)
            for box in self.boxes:
                self.must(box, f"mkdir -p {name}")
                self.outside(box, "--mount", "mount", "--bind", place, box.root + name)
        self.in_client("ip link add clients type bridge forward_delay 0")
        self.in_client("ip address add 10.77.0.1/24 dev clients")
        self.in_client("ip link set clients up")
        for n, box in enumerate(self.boxes):
            self.in_client(f"ip link add port{n} type veth peer name dinomo0 netns {box.pid}")
            self.in_client(f"ip link set port{n} master clients up")
            self.outside(box, "--net", "ip", "link", "set", "dinomo0", "up")
        return self

    def __exit__(self, *_):
        for box in (*self.boxes, self.client):
            box.close()

    @staticmethod
    def outside(box, kind, *command):
        """With this machine's programs in one namespace of a machine."""
        done = run("nsenter", f"--target={box.pid}", kind, *command)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}")

    def in_client(self, line):
        self.outside(self.client, "--net", *line.split())

    @staticmethod
    def must(box, script):
        done = box.run(script)
        if done.returncode != 0:
            logs = box.run("tail -n 30 /var/log/units/*.log || true").stdout
            raise RuntimeError(f"{script}: status {done.returncode}: {done.stdout}\n{logs}")
        return done.stdout

    def configure(self):
        for n, box in enumerate(self.boxes):
            self.must(box, f"""
sed 's/10.77.0.2/10.77.0.{2 + n}/; s/"kn-0"/"kn-{n}"/; s/"256m"/"32m"/' /usr/share/dinomo/config/one-node-kn.conf >/etc/dinomo/kn.conf
printf 'kn_slot = {n};\\nwarm_s = 1;\\n' >>/etc/dinomo/kn.conf
sed -i 's/-m 512/-m 128/; s/framecnt=8192/framecnt=1024/' /etc/default/dinomo-kn
""")
        self.must(self.boxes[0], """sed 's/"4g"/"512m"/' /usr/share/dinomo/config/one-node-dpm.conf >/etc/dinomo/dpm.conf
dinomo-doctor --role dpm --config /etc/dinomo/kn.conf --config /etc/dinomo/dpm.conf""")

    def privileges(self, box, unit):
        """(user, capabilities) of the running process."""
        words = self.must(box, f"""pid=$(cat /run/units/{unit}.pid)
stat -c %U /proc/$pid
sed -n 's/^Cap\\(Eff\\|Bnd\\):\\s*//p; s/^NoNewPrivs:\\s*//p' /proc/$pid/status""").split()
        return words[0], [int(w, 16) for w in words[1:3]], words[3]

    def bench(self, *words):
        return self.client.run(f"dinomo-bench --server {SERVERS} --keys 2000 --value-bytes 200 --quiet {' '.join(words)}")


class Load:
    """Clients that go on until told to end; every answer is checked, and each error counts."""

    def __init__(self, rack):
        self.rack, self.ended, self.rounds, self.errors = rack, threading.Event(), 0, []
        self.thread = threading.Thread(target=self._go_on)

    def _go_on(self):
        while not self.ended.is_set() and not self.errors:
            try:
                done = self.rack.bench("--phase run --workload a --seconds 4 --verify --timeout-ms 30000")
                if done.returncode != 0:
                    self.errors.append(done.stdout[-1500:])
            except subprocess.TimeoutExpired as late:
                self.errors.append(str(late))
            self.rounds += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def installs(base, package, check):
    shutil.copy(package, base.path("/tmp/"))
    name = f"/tmp/{os.path.basename(package)}"
    done = base.run(f"apt-get update -q && apt-get install -qy --no-install-recommends {name}", network=False, timeout=1200)
    if not check("apt installs it with what it depends on, from the mirror", done.returncode == 0,
                 "" if done.returncode == 0 else done.stdout[-3000:]):
        return False
    check.equal("its state", base.run("dpkg-query -Wf '${Status} ${Version}' dinomo").stdout.split(" ")[:3], ["install", "ok", "installed"])
    done = base.run("for p in kn dpm cli bench lab sim; do dinomo-$p --version; done\n"
                    "for t in devbind doctor exporter hugepages plot sizing stats top; do dinomo-$t --help >/dev/null; done\n"
                    "dpkg -V dinomo")
    return check("every program and tool runs there", done.returncode == 0, "" if done.returncode == 0 else done.stdout)


def capability_bits(names):
    with open("/usr/include/linux/capability.h", encoding="utf-8") as file:
        numbers = dict(re.findall(r"^#define (CAP_\w+)\s+(\d+)", file.read(), re.M))
    return sum(1 << int(numbers[name]) for name in names)


def serves(rack, check):
    rack.must(rack.boxes[0], "systemctl enable --now dinomo-dpm")
    for box in rack.boxes:
        rack.must(box, "systemctl enable --now dinomo-kn dinomo-exporter")
    with open(os.path.join(SOURCE, "config", "systemd", "dinomo-kn.service"), encoding="utf-8") as file:
        allowed = capability_bits(re.search(r"^AmbientCapabilities=(.*)$", file.read(), re.M)[1].split())
    check.equal("the DPM's user, capabilities and bounds", rack.privileges(rack.boxes[0], "dinomo-dpm"), ("dinomo", [0, 0], "1"))
    check.equal("the KN's user, capabilities and bounds", rack.privileges(rack.boxes[1], "dinomo-kn"), ("dinomo", [allowed, allowed], "1"))
    done = rack.bench("--phase load")
    check("clients load keys", done.returncode == 0, "" if done.returncode == 0 else done.stdout[-1500:])
    done = rack.boxes[1].run("python3 -c 'import urllib.request as u; print(u.urlopen(\"http://127.0.0.1:9464/readyz\").status)'")
    check("the exporter, as its unit starts it, sees the KN", done.stdout.strip() == "200", done.stdout)
    status = rack.must(rack.boxes[0], "dinomo-cli cluster status")
    check.equal("KNs that serve", len(re.findall(r"^ +\d+ +kn-\d .* serving ", status, re.M)), KNS)


def upgrades(rack, package, check):
    name = os.path.basename(package)
    for box in rack.boxes:
        shutil.copy(package, box.path("/tmp/"))
    with Load(rack) as load:
        for n in (*range(1, KNS), 0):
            box = rack.boxes[n]
            before = rack.must(box, "cat /run/units/dinomo-kn.pid")
            rack.must(box, f"apt-get install -qy --no-install-recommends /tmp/{name}")
            check(f"machine {n}: what runs goes on while the new version is installed",
                  rack.must(box, "systemctl is-active dinomo-kn; cat /run/units/dinomo-kn.pid") == "active\n" + before)
            rack.must(box, "dinomo-doctor --role dpm --config /etc/dinomo/kn.conf")
            rack.must(box, "systemctl restart dinomo-kn")
            ready = rack.must(box, READY)
            check(f"machine {n}: ready again", " yes " in ready, ready)
        rack.must(rack.boxes[0], "systemctl restart dinomo-dpm")
        for n, box in enumerate(rack.boxes):
            rack.must(box, READY)
            check.equal(f"machine {n}: version", rack.must(box, "dpkg-query -Wf '${Version}' dinomo").rsplit("-", 1)[1], "2")
        at_least = load.rounds + 1
        while load.rounds < at_least and not load.errors:  # a last one, wholly on the new version
            load.thread.join(0.2)
    check("no client saw an error", not load.errors, "\n".join(load.errors))
    print(f"     {load.rounds} runs of the load meanwhile")


def goes(rack, check):
    for box in reversed(rack.boxes):
        rack.must(box, "systemctl disable --now dinomo-exporter dinomo-kn dinomo-dpm")
    box = rack.boxes[0]
    done = box.run("apt-get remove -qy dinomo")
    check("apt removes it", done.returncode == 0, "" if done.returncode == 0 else done.stdout)
    stays = ["/etc/default/dinomo-kn", "/etc/dinomo/kn.conf", "/var/lib/dinomo/pool"]
    left = box.run(f"ls /usr/bin/dinomo-* {' '.join(stays)} 2>/dev/null || true").stdout
    check.equal("configuration and pool stay, programs go", left.split(), stays)
    done = box.run("apt-get purge -qy dinomo")
    check("apt purges it", done.returncode == 0, "" if done.returncode == 0 else done.stdout)
    elsewhere = " ".join(f"-not -path '{place}'" for place in ("/var/lib/dinomo*", "/proc/*", "/tmp/*", "/var/log/*", "/run/*"))
    left = box.run(f"find / -xdev -name '*dinomo*' {elsewhere}").stdout
    check.equal("what is left of it", left.split(), [])
    check("the pool stays", "/pool" in box.run("ls /var/lib/dinomo/pool").stdout)


def main():
    need_root()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    check = Checks(" ".join(sys.argv))
    with tempfile.TemporaryDirectory(prefix="dinomo-clean-") as folder:
        root = bare_system(folder)
        first, second = packages(os.path.abspath(sys.argv[1]), folder)
        try:
            with Sandbox("clean", over=root) as base:
                if not installs(base, first, check):
                    return check.finish()
                with Rack(base, folder, check) as rack:
                    rack.configure()
                    serves(rack, check)
                    upgrades(rack, second, check)
                    goes(rack, check)
        except NoSandbox as reason:
            skip(reason)
    return check.finish()


if __name__ == "__main__":
    sys.exit(main())
