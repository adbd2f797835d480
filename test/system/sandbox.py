# SPDX-License-Identifier: BSD-3-Clause
"""A machine of its own for tests of packages and documents: its root is an overlay over this machine's (or over another
system in a folder), and it has processes and a network of its own. What is written, installed or started in it is gone
when it is closed.

    with Sandbox("one") as box:
        box.run("apt-get install ...")

It has no systemd: `systemctl` in it is units.py, which runs units by what stands in them.
"""
import os
import shutil
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))

# The first process in it: mounts, then only waits, and buries those whose parents are gone.
INIT = r"""
set -e
for place in $OVERLAYS; do
    mkdir -p "$WORK/upper$place" "$WORK/work$place"
    lower=$place
    [ "$place" != / ] || lower=$LOWER
    mount -t overlay overlay -o "lowerdir=$lower,upperdir=$WORK/upper$place,workdir=$WORK/work$place" "$ROOT$place"
done
mount -t proc proc "$ROOT/proc"
mount -t sysfs sysfs "$ROOT/sys"
mount --rbind /dev "$ROOT/dev"
mount -t tmpfs tmpfs "$ROOT/run"
ip link set lo up
echo ready >"$WORK/ready"
while :; do
    sleep 1000 &
    wait $! || true
done
"""


class NoSandbox(Exception):
    """This machine gives none; the message says why."""


class Sandbox:
    """Needs root. `over`: the root that it begins with: a folder, or another sandbox, which has to stay open and idle; by
    default this machine's. `seen`: folders of this machine that it has to see although they may lie on other file systems."""

    def __init__(self, name, over="/", seen=()):
        # Beside this machine's temporary files: an upper layer cannot lie on another overlay.
        self.work = tempfile.mkdtemp(prefix=f"dinomo-box-{name}-")
        self.root = os.path.join(self.work, "root")
        self.over = over
        self.seen = [p for p in dict.fromkeys(seen) if os.stat(p).st_dev != os.stat("/").st_dev]
        self.init, self.pid = None, None
        os.mkdir(self.root)

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def _start(self):
        # A sandbox's root is mounted in its own namespace only, and its layers one by one would lie over each other.
        above = isinstance(self.over, Sandbox)
        into = ["nsenter", f"--target={self.over.pid}", "--mount"] if above else []
        environment = {**os.environ, "WORK": self.work, "ROOT": self.root, "LOWER": self.over.root if above else self.over,
                       "OVERLAYS": " ".join(["/", *self.seen])}
        with open(os.path.join(self.work, "init.log"), "wb") as log:
            # However this process ends, the sandbox ends with it.
            command = [*into, "setpriv", "--pdeathsig=KILL", "unshare", "--mount", "--pid", "--net", "--ipc", "--fork", "--kill-child"]
            self.init = subprocess.Popen([*command, "bash", "-c", INIT], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while not os.path.exists(os.path.join(self.work, "ready")):
            if self.init.poll() is not None or time.monotonic() > deadline:
                with open(os.path.join(self.work, "init.log"), encoding="utf-8", errors="replace") as log:
                    raise NoSandbox(f"no overlay with namespaces on this machine: {log.read().strip()}")
            time.sleep(0.02)
        with open(f"/proc/{self.init.pid}/task/{self.init.pid}/children", encoding="utf-8") as file:
            self.pid = int(file.read().split()[0])
        os.makedirs(self.path("/usr/local/bin"), exist_ok=True)
        shutil.copy(os.path.join(HERE, "units.py"), self.path("/usr/local/bin/systemctl"))

    def path(self, name):
        """Where a file of the sandbox is for this process: files that lie below a mount of it (/run) are not."""
        return f"/proc/{self.pid}/root{self.root}{name}"

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def command(self, *command, network=True):
        """The command that runs `command` in it. Without `network` it has this machine's."""
        kinds = ["--mount", "--pid", "--ipc", *(["--net"] if network else [])]
        return ["nsenter", f"--target={self.pid}", *kinds, "chroot", self.root, *command]

    def run(self, script, *arguments, network=True, **options):
        """Runs a bash script in it, which ends at the first command that fails."""
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8",
                       "DEBIAN_FRONTEND": "noninteractive", "TERM": "xterm", **options.pop("env", {})}
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True,
                   "errors": "replace", "timeout": 600, "check": False, **options}
        return subprocess.run(self.command("bash", "-eo", "pipefail", "-c", script, "bash", *arguments, network=network),
                              env=environment, **options)

    def close(self):
        if self.init is not None and self.init.poll() is None:
            self.init.kill()  # --kill-child: and with the first process all others of it
        if self.init is not None:
            self.init.wait()
        for _ in range(100):  # mounts go with the last process
            try:
                shutil.rmtree(self.work)
                return
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(0.1)
        shutil.rmtree(self.work, ignore_errors=True)
