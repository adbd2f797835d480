#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""systemctl for a sandbox without systemd: runs units by what stands in them, as their user and group, with their
capabilities and no other, their folders, mask and environment, and waits for their readiness. It knows nothing of the
sandboxing that only systemd itself can do (Protect*, SystemCallFilter), of restarts and of the watchdog.

    systemctl start|stop|restart|status|is-active UNIT...    systemctl enable|disable --now UNIT...

Its answers are stricter than systemd's: a condition that does not hold, and a stop that ends with another status than 0, fail."""
import os
import pwd
import re
import resource
import shlex
import signal
import socket
import subprocess
import sys
import time

STATE = "/run/units"
LOGS = "/var/log/units"


class Unit:
    def __init__(self, name):
        self.name = name.removesuffix(".service")
        try:
            with open(f"/lib/systemd/system/{self.name}.service", encoding="utf-8") as file:
                text = file.read()
        except FileNotFoundError:
            sys.exit(f"systemctl: there is no unit {self.name}")
        self.settings = {}
        for key, value in re.findall(r"^(\w+)=(.*)$", text, re.M):
            self.settings.setdefault(key, []).append(value)

    def one(self, key, default=""):
        return self.settings.get(key, [default])[-1]

    def environment(self):
        found = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
        for path in self.settings.get("EnvironmentFile", []):
            with open(path, encoding="utf-8") as file:
                for line in file:
                    if line.strip() and not line.startswith("#"):
                        name, value = line.strip().split("=", 1)
                        found[name] = shlex.split(value)[0] if value else ""
        return found

    def command(self, environment):
        words = []
        for word in shlex.split(self.one("ExecStart")):
            words += environment.get(word[1:], "").split() if word.startswith("$") else [word]
        return words

    def privileges(self):
        """setpriv with the unit's user and capabilities."""
        def capabilities(key):
            names = self.one(key, "").split()
            return ",".join(["-all", *(f"+{n.removeprefix('CAP_').lower()}" for n in names)])
        found = ["setpriv", f"--bounding-set={capabilities('CapabilityBoundingSet')}", f"--inh-caps={capabilities('AmbientCapabilities')}",
                 f"--ambient-caps={capabilities('AmbientCapabilities')}"]
        if self.one("User"):
            found += [f"--reuid={self.one('User')}", f"--regid={self.one('Group', self.one('User'))}", "--init-groups"]
        if self.one("NoNewPrivileges") == "yes":
            found.append("--no-new-privs")
        return found

    def folders(self, environment):
        who = pwd.getpwnam(self.one("User", "root"))
        for key, above in (("RuntimeDirectory", "/run"), ("StateDirectory", "/var/lib")):
            for name in self.one(key).split():
                path = os.path.join(above, name)
                os.makedirs(path, exist_ok=True)
                os.chown(path, who.pw_uid, who.pw_gid)
                os.chmod(path, int(self.one(key + "Mode", "0755"), 8))
                environment["RUNTIME_DIRECTORY" if above == "/run" else "STATE_DIRECTORY"] = path

    def remove_folders(self):
        """What is in them, where a test has mounted something there."""
        for name in self.one("RuntimeDirectory").split():
            subprocess.run(["find", os.path.join("/run", name), "-delete"], check=False)

    # What is known of it, in files: pid while it runs, ready, status once it has ended.

    def file(self, kind):
        return f"{STATE}/{self.name}.{kind}"

    def read(self, kind):
        try:
            with open(self.file(kind), encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def write(self, kind, text):
        with open(self.file(kind) + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(self.file(kind) + ".new", self.file(kind))

    def active(self):
        return bool(self.read("pid")) and not self.read("status")

    def log(self, lines=25):
        with open(f"{LOGS}/{self.name}.log", encoding="utf-8", errors="replace") as file:
            return "".join(file.readlines()[-lines:])


def memory_lock(unit):
    """Runs in the child. Without CAP_SYS_RESOURCE the limit stays as it is."""
    if unit.one("LimitMEMLOCK") == "infinity":
        hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (hard, hard))
    os.umask(int(unit.one("UMask", "0022"), 8))


def supervise(unit):
    """Parent of the service: until it ends."""
    environment = unit.environment()
    unit.folders(environment)
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    if unit.one("Type") == "notify":
        address = unit.file("notify")
        notify.bind(address)
        os.chmod(address, 0o666)
        environment["NOTIFY_SOCKET"] = address
    with open(f"{LOGS}/{unit.name}.log", "ab") as log:
        child = subprocess.Popen([*unit.privileges(), *unit.command(environment)], env=environment, cwd="/",
                                 stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=lambda: memory_lock(unit))
    unit.write("pid", str(child.pid))
    if unit.one("Type") != "notify":
        unit.write("ready", "1")
    notify.settimeout(0.1)
    while child.poll() is None:
        try:
            if unit.one("Type") == "notify":
                if b"READY=1" in notify.recv(4096):
                    unit.write("ready", "1")
            else:
                time.sleep(0.1)
        except socket.timeout:
            pass
    unit.remove_folders()
    unit.write("status", str(child.returncode))


def start(unit):
    if unit.active():
        return
    for path in unit.settings.get("ConditionPathExists", []):
        if not os.path.exists(path):
            sys.exit(f"systemctl: {unit.name} is not started: there is no {path}")
    for kind in ("pid", "ready", "status", "notify"):
        if os.path.exists(unit.file(kind)):
            os.unlink(unit.file(kind))
    with open(f"{LOGS}/{unit.name}.log", "ab") as log:
        parent = subprocess.Popen([sys.executable, os.path.abspath(__file__), "--supervise", unit.name],
                                  stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    deadline = time.monotonic() + 120
    while not unit.read("ready"):
        if parent.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"systemctl: {unit.name} did not start (status {unit.read('status') or 'none yet'}):\n{unit.log()}")
        time.sleep(0.05)


def stop(unit):
    if not unit.active():
        return
    os.kill(int(unit.read("pid")), signal.SIGTERM)
    deadline = time.monotonic() + int(unit.one("TimeoutStopSec", "90"))
    while not unit.read("status"):
        if time.monotonic() > deadline:
            os.kill(int(unit.read("pid")), signal.SIGKILL)
            sys.exit(f"systemctl: {unit.name} did not stop in time:\n{unit.log()}")
        time.sleep(0.05)
    # The default action of SIGTERM is a clean end to systemd, too.
    if unit.read("status") not in ("0", str(-signal.SIGTERM)):
        sys.exit(f"systemctl: {unit.name} ended with {unit.read('status')}:\n{unit.log()}")


def in_order(units):
    """Those that others are to be started after come first."""
    return sorted(units, key=lambda u: sum(f"{other.name}.service" in u.one("After").split() for other in units))


def main(arguments):
    words = [a for a in arguments if not a.startswith("-")]
    if arguments[:1] == ["--supervise"]:
        return supervise(Unit(arguments[1]))
    if not words:
        sys.exit("systemctl: what is to be done?")
    os.makedirs(STATE, exist_ok=True)
    os.makedirs(LOGS, exist_ok=True)
    verb, units = words[0], in_order([Unit(name) for name in words[1:]])
    if verb == "daemon-reload" or verb in ("enable", "disable") and "--now" not in arguments:
        return None
    if verb in ("status", "is-active"):
        for unit in units:
            print("active" if unit.active() else "inactive" if verb == "is-active" else f"inactive\n{unit.log()}")
        return None if all(u.active() for u in units) else sys.exit(3)
    if verb in ("stop", "restart", "disable"):
        for unit in reversed(units):
            stop(unit)
    if verb in ("start", "restart", "enable"):
        for unit in units:
            start(unit)
    elif verb not in ("stop", "disable"):
        sys.exit(f"systemctl: no such verb here: {verb}")
    return None


if __name__ == "__main__":
    main(sys.argv[1:])
