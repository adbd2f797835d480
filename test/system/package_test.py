#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The Debian package: made by usertools/make-deb.sh, installed by dpkg into a system in a folder, its units judged by
systemd, its programs run by the units' command lines, a KN exchanged under load, then removed and purged.

    package_test.py BUILD_DIR
"""
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import threading

from cluster import Checks, Cluster, need_root, skip

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
PROGRAMS = ("dinomo-kn", "dinomo-dpm", "dinomo-cli", "dinomo-bench", "dinomo-lab", "dinomo-sim")
TOOLS = ("dinomo-devbind", "dinomo-doctor", "dinomo-exporter", "dinomo-hugepages", "dinomo-plot", "dinomo-sizing",
         "dinomo-stats", "dinomo-top")
EXPOSURE_MAX = 45  # of systemd-analyze security, in tenths; 96 is a service without any hardening


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)


class System:
    """A Debian system in a folder, with nothing in it but what dpkg needs."""

    def __init__(self, folder):
        self.root = os.path.join(folder, "system")
        for name in ("etc", "var/lib/dpkg/info", "tmp", "var/lib/dpkg/updates", "usr/bin", "usr/lib", "usr/sbin"):
            os.makedirs(os.path.join(self.root, name))
        for name in ("bin", "sbin", "lib"):
            os.symlink(f"usr/{name}", os.path.join(self.root, name))
        for name, text in (("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"), ("etc/group", "root:x:0:\n"),
                           ("etc/shadow", ""), ("etc/gshadow", ""), ("var/lib/dpkg/status", "")):
            with open(self.path(name), "w", encoding="utf-8") as file:
                file.write(text)
        # What the units refer to and other packages bring.
        os.makedirs(self.path("/lib/systemd/system"))
        for name in ("sysinit", "basic", "shutdown", "network-online", "multi-user", "-.mount"):
            name = name if "." in name else name + ".target"
            kind = "[Mount]\nWhat=/dev/root\nWhere=/\n" if name.endswith(".mount") else ""
            with open(self.path("/lib/systemd/system/" + name), "w", encoding="utf-8") as file:
                file.write(f"[Unit]\nDescription=for the test\n{kind}")
        shutil.copy("/bin/kill", self.path("/usr/bin/kill"))

    def path(self, name):
        return os.path.join(self.root, name.lstrip("/"))

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return file.read()

    def dpkg(self, *arguments):
        """What it depends on is this machine's, which dpkg does not see; scripts get DPKG_ROOT instead of a chroot."""
        return run("dpkg", f"--root={self.root}", "--force-depends", "--force-script-chrootless", *arguments)

    def run(self, name, *arguments):
        return run(self.path("/usr/bin/" + name), *arguments,
                   env={**os.environ, "PYTHONPATH": self.path("/usr/lib/python3/dist-packages")})


def unit_command(system, unit):
    """ExecStart of a unit as systemd would run it, in the folder."""
    line = re.search(r"^ExecStart=(.*)$", system.read(f"/lib/systemd/system/{unit}.service"), re.M).group(1)
    words = shlex.split(line)
    if "$EAL_ARGUMENTS" in words:
        at = words.index("$EAL_ARGUMENTS")
        default = re.search(r'^EAL_ARGUMENTS="(.*)"$', system.read("/etc/default/dinomo-kn"), re.M).group(1)
        words[at:at + 1] = default.split()
    return [system.path(w) if w.startswith(("/usr/", "/etc/")) else w for w in words]


def installs(system, package, check):
    done = system.dpkg("-i", package)
    check("dpkg -i", done.returncode == 0, done.stdout + done.stderr)
    check("the user is made", re.search(r"^dinomo:x:\d+:\d+:.*:/usr/sbin/nologin$", system.read("/etc/passwd"), re.M))
    with open("/etc/passwd", encoding="utf-8") as file:
        here = file.read()
    check("and not on this machine", system.root not in here and "/var/lib/dinomo:" not in here)
    for name in PROGRAMS:
        done = system.run(name, "--version")
        check(f"{name} --version", done.returncode == 0 and done.stdout.startswith(f"{name} "), done.stdout + done.stderr)
    for name in TOOLS:
        done = system.run(name, "--help")
        check(f"{name} --help", done.returncode == 0 and name in done.stdout, done.stdout + done.stderr)
    strangers = [os.path.join(folder, f) for folder, _, files in os.walk(system.path("/usr")) for f in files
                 if not os.path.islink(os.path.join(folder, f))
                 and stat.S_IMODE(os.stat(os.path.join(folder, f)).st_mode) not in (0o644, 0o755)]
    check.equal("files with strange rights", strangers, [])
    examples = sorted(os.listdir(system.path("/usr/share/dinomo/config")))
    check.equal("examples", len(examples), 6)
    for example in examples:
        kind = "kn" if "kn" in example else "dpm"
        done = system.run(f"dinomo-{kind}", *(["--"] if kind == "kn" else []), "--config",
                          system.path(f"/usr/share/dinomo/config/{example}"), "--check-config")
        check(f"{example} is valid", done.returncode == 0, done.stdout + done.stderr)


def units(system, check):
    if shutil.which("systemd-analyze") is None:
        print("     systemd-analyze is not installed (apt install systemd): units were not judged")
        return
    for unit in ("dinomo-dpm", "dinomo-kn", "dinomo-exporter"):
        file = f"/lib/systemd/system/{unit}.service"
        done = run("systemd-analyze", "verify", "--man=no", f"--root={system.root}", system.path(file))
        check.equal(f"systemd-analyze verify {unit}", (done.stdout + done.stderr).splitlines(), [])
        done = run("systemd-analyze", "security", "--offline=yes", f"--threshold={EXPOSURE_MAX}", "--no-pager",
                   system.path(file))
        check(f"systemd-analyze security {unit}", done.returncode == 0, (done.stdout + done.stderr)[-600:])
    text = system.read("/lib/systemd/system/dinomo-dpm.service") + system.read("/lib/systemd/system/dinomo-kn.service")
    check.equal("neither runs as root", text.count("User=dinomo\n"), 2)


class Packaged(Cluster):
    """A deployment by the units' command lines: only paths and the interface are the test's."""
    system = None

    def program(self, name):
        return self.system.path("/usr/bin/" + name)

    def configure(self):
        config = {"dpm": self.system.read("/usr/share/dinomo/config/one-node-dpm.conf"),
                  "kn": self.system.read("/usr/share/dinomo/config/one-node-kn.conf")}
        for old, new in (("/var/lib/dinomo/pool", self.path("pool")), ('"4g"', '"512m"'),
                         ("/run/dinomo-dpm/dpm.sock", self.dpm_address), ("10.77.0.2/24", f"{self.SERVER_IP}/24"),
                         ('"256m"', '"32m"')):
            config = {kind: text.replace(old, new) for kind, text in config.items()}
        for kind, text in config.items():
            with open(self.system.path(f"/etc/dinomo/{kind}.conf"), "w", encoding="utf-8") as file:
                file.write(text + f'stats_file = "{self.path(kind + ".json")}";\n')

    def dpm_command(self, *extra):
        return [*unit_command(self.system, "dinomo-dpm"), *extra]

    def kn_command(self, *extra):
        command = [w.replace("iface=dinomo0", f"iface={self.kn_if}") for w in unit_command(self.system, "dinomo-kn")]
        return self._in_kn_namespace([*command, *extra])


def serves(c, system, package, check):
    c.system = system
    c.configure()
    c.start_dpm()
    c.start_kn()
    c.wait_serving()
    c.bench("--keys", "2000", "--value-bytes", "200", "--phase", "load")
    upgrades_under_load(c, system, package, check)
    c.end_in_order(check)


def upgrades_under_load(c, system, package, check):
    result = {}

    def load():
        try:
            result.update(c.bench("--keys", "2000", "--value-bytes", "200", "--phase", "run", "--workload", "a",
                                  "--seconds", "6", "--verify", "--timeout-ms", "30000"))
        except RuntimeError as error:
            result["error"] = str(error)
    client = threading.Thread(target=load)
    before = c.counters()["requests"]
    client.start()
    c.wait_until(lambda: c.counters()["requests"] > before + 500, "load")
    done = system.dpkg("-i", package)
    check("the package is installed over itself", done.returncode == 0, done.stdout + done.stderr)
    check("what runs goes on", c.alive("kn") and c.alive("dpm"))
    check.equal("the KN ends in order", c.kill("kn", signal.SIGTERM), 0)
    c.start_kn()
    c.wait_serving()
    client.join()
    check("no client saw an error", "error" not in result, str(result.get("error"))[-1500:])


def goes(system, check):
    done = system.dpkg("-r", "dinomo")
    check("dpkg -r", done.returncode == 0, done.stdout + done.stderr)
    check("programs are gone", not os.path.exists(system.path("/usr/bin/dinomo-kn")))
    check("configuration stays", os.path.exists(system.path("/etc/dinomo/kn.conf"))
          and os.path.exists(system.path("/etc/default/dinomo-kn")))
    done = system.dpkg("-P", "dinomo")
    check("dpkg -P", done.returncode == 0, done.stdout + done.stderr)
    left = [os.path.join(folder, f) for folder, _, files in os.walk(system.root) for f in files
            if "dinomo" in os.path.join(folder, f).removeprefix(system.root)]
    check.equal("left behind", left, [])


def wrong_use(check, folder):
    script = os.path.join(SOURCE, "usertools", "make-deb.sh")
    for arguments, status, words in ((["--no-such"], 2, "usage"), (["--revision", "a b"], 2, "letters, digits"), (["--build"], 2, "needs a folder"),
                                     (["--build", "/no/such"], 1, "no such folder"), (["--build", folder], 1, "no build")):
        done = run("bash", script, *arguments)
        check(f"make-deb.sh {' '.join(arguments)}", done.returncode == status and words in done.stderr, done.stderr)


def main():
    need_root()
    for needed in ("dpkg-deb", "dpkg-shlibdeps", "useradd"):
        if shutil.which(needed) is None:
            skip(f"needs {needed} (apt install dpkg-dev passwd)")
    check = Checks(" ".join(sys.argv))
    build = os.path.abspath(sys.argv[1])
    with Packaged(build, telemetry=True) as c:
        wrong_use(check, c.directory)
        done = run("bash", os.path.join(SOURCE, "usertools", "make-deb.sh"), "--build", build, "--output", c.directory)
        if not check("make-deb.sh", done.returncode == 0, done.stdout + done.stderr):
            return check.finish()
        package = done.stdout.strip()
        system = System(c.directory)
        installs(system, package, check)
        units(system, check)
        serves(c, system, package, check)
        goes(system, check)
    return check.finish()


if __name__ == "__main__":
    sys.exit(main())
