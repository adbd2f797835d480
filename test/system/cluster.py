# SPDX-License-Identifier: BSD-3-Clause
"""One DPM and one KN as real processes, and two network namespaces between them and the client.

Everything made carries this process's id in its name and is removed by close(); only processes
started here are ended, by their id. Used as a context manager:

    with Cluster(build_dir) as c:
        c.start_dpm(); c.start_kn(); c.wait_serving()
        c.client(["dinomo-cli", ...])
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SKIP = 77  # exit status that meson takes for "skipped"


def skip(reason):
    print(f"skipped: {reason}", flush=True)
    sys.exit(SKIP)


def need_root():
    if os.geteuid() != 0:
        skip("needs root, for network namespaces")
    for tool in ("ip",):
        if shutil.which(tool) is None:
            skip(f"needs {tool} (apt install iproute2)")


class Checks:
    """Prints every check, and counts those that failed."""

    def __init__(self, replay):
        self.replay, self.done, self.failed = replay, 0, []

    def __call__(self, what, good, detail=""):
        self.done += 1
        print("ok  " if good else "FAIL", what, detail, flush=True)
        if not good:
            self.failed.append(what)
        return good

    def equal(self, what, found, expected):
        return self(what, found == expected,
                    f"({found})" if found == expected else f"(found {found}, expected {expected})")

    def finish(self):
        """Exit status of the test."""
        if self.failed:
            print(f"{len(self.failed)} of {self.done} checks failed; replay: {self.replay}")
            return 1
        print(f"{self.done} checks, all passed")
        return 0


class Cluster:
    PREFIX = "dinomo-test-"  # of the name of its folder
    SERVER_IP = "10.77.0.2"
    CLIENT_IP = "10.77.0.1"

    SERVER_IP6 = "fd77::2"
    CLIENT_IP6 = "fd77::1"

    HCA_FOLDER = "drivers/fabric/mlx5/softhca"  # in the build directory
    FABRICS = ("shm", "mlx5-soft", "verbs-soft")

    def __init__(self, build_dir, lcores="0@0,1@1", memory_mb=384, pool_bytes="768m", vdev="af_packet",
                 ip6=False, fabric="shm", telemetry=False, mtu=1500):
        self.build = os.path.abspath(build_dir)
        self.telemetry = telemetry  # both answer below RUNTIME_DIRECTORY, which is this test's own
        self.fabric = fabric  # X-soft: driver X; DPM and KN share a soft HCA, a process of its own
        self.mtu = mtu  # of the link between client and KN
        self.ip6 = ip6  # the KN has an IPv6 address and no other
        self.lcores, self.memory_mb, self.pool_bytes, self.vdev = lcores, memory_mb, pool_bytes, vdev
        self.directory = tempfile.mkdtemp(prefix=self.PREFIX)
        self.environment = {**os.environ, "RUNTIME_DIRECTORY": self.directory}
        tag = str(os.getpid())
        self.kn_ns, self.client_ns = f"dnk{tag}", f"dnc{tag}"
        self.kn_if, self.client_if = f"dk{tag}", f"dc{tag}"
        self.processes = {}
        self.logs = {}

    # network -----------------------------------------------------------------------------------

    def __enter__(self):
        # A test that runs out of time is ended by SIGTERM: tidy up then, too.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        try:
            self._make_network()
        except BaseException:  # Ctrl-C as well
            self.close()
            raise
        return self

    def __exit__(self, kind, *_):
        if kind is not None and kind is not SystemExit:
            self.show_logs()
        self.close()

    def _make_network(self):
        for ns in (self.kn_ns, self.client_ns):
            self._ip("netns", "add", ns)
            self._ip("-n", ns, "link", "set", "lo", "up")
        self._ip("link", "add", self.kn_if, "mtu", str(self.mtu), "netns", self.kn_ns, "type", "veth",
                 "peer", "name", self.client_if, "mtu", str(self.mtu), "netns", self.client_ns)
        self._ip("-n", self.kn_ns, "link", "set", self.kn_if, "up")
        self._ip("-n", self.client_ns, "addr", "add", f"{self.CLIENT_IP}/24", "dev", self.client_if)
        if self.ip6:
            self._ip("-n", self.client_ns, "-6", "addr", "add", f"{self.CLIENT_IP6}/64", "dev",
                     self.client_if, "nodad")
        self._ip("-n", self.client_ns, "link", "set", self.client_if, "up")

    @staticmethod
    def _ip(*arguments):
        subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)

    def close(self):
        for name in list(self.processes):
            self.kill(name)
        for ns in (self.kn_ns, self.client_ns):
            subprocess.run(["ip", "netns", "del", ns], capture_output=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    # processes ---------------------------------------------------------------------------------

    def path(self, name):
        return os.path.join(self.directory, name)

    def program(self, name):
        return os.path.join(self.build, "app", name, name)

    def tool(self, name):
        return os.path.join(self.build, "test", "tools", name)

    def _start(self, name, command):
        log = open(self.path(f"{name}.log"), "ab")
        self.logs[name] = self.path(f"{name}.log")
        self.processes[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                                stderr=subprocess.STDOUT, env=self.environment)
        log.close()

    def start_hca(self, *extra):
        """The device; must be there before the programs that use it."""
        self._start("hca", [os.path.join(self.build, self.HCA_FOLDER, "dinomo-softhca"), "--socket",
                            self.path("hca.sock"), *extra])
        self.wait_until(lambda: os.path.exists(self.path("hca.sock")), "soft HCA")

    def _over_fabric(self, program):
        """A program of the deployment as it finds its fabric."""
        if self.fabric == "shm":
            return [program]
        preload = os.path.join(self.build, self.HCA_FOLDER, "libdinomo_softhca_preload.so")
        return ["env", f"LD_PRELOAD={preload}", f"DINOMO_SOFTHCA={self.path('hca.sock')}", program]

    def _in_kn_namespace(self, command):
        return ["ip", "netns", "exec", self.kn_ns, *command]

    def _fabric_arguments(self):
        return [] if self.fabric == "shm" else ["--fabric", self.fabric.removesuffix("-soft")]

    def _mtu_arguments(self):
        return ["--mtu", str(self.mtu)] if self.mtu != 1500 else []

    def _telemetry_arguments(self):
        return ["--file-prefix", "dinomo-kn"] if self.telemetry else ["--no-telemetry"]

    @property
    def dpm_address(self):
        return self.path("dpm.sock") if self.fabric == "shm" else "127.0.0.1:11250"

    def dpm_command(self, *extra):
        command = [*self._over_fabric(self.program("dinomo-dpm")), "--pool", self.path("pool"), "--create",
                   "--pool-bytes", self.pool_bytes, *self._fabric_arguments(), "--listen",
                   self.dpm_address, "--stats-file", self.path("dpm.json"), *extra]
        # Where connections are made over TCP, the two meet at the namespace's own 127.0.0.1.
        return command if self.fabric == "shm" else self._in_kn_namespace(command)

    def kn_command(self, *extra):
        # A frame of the ring has to hold one of the link.
        jumbo = ",blocksz=36864,framesz=9216" if self.mtu > 1500 else ""
        vdev = {"af_packet": f"net_af_packet0,iface={self.kn_if},framecnt={4096 if not jumbo else 1024}{jumbo}",
                "af_xdp": f"net_af_xdp0,iface={self.kn_if},busy_budget=0"}[self.vdev]
        address = (["--ip6", f"{self.SERVER_IP6}/64"] if self.ip6
                   else ["--ip", f"{self.SERVER_IP}/24"])
        return self._in_kn_namespace(
            [*self._over_fabric(self.program("dinomo-kn")), "--no-shconf", "--no-huge", "-m",
             str(self.memory_mb), "--no-pci", *self._telemetry_arguments(), "--lcores", self.lcores, "--vdev", vdev,
             "--", *self._fabric_arguments(), *self._mtu_arguments(), "--dpm", self.dpm_address, *address, "--stats-file",
             self.path("kn.json"), *extra])

    def start_dpm(self, *extra):
        if self.fabric != "shm" and not self.alive("hca"):
            self.start_hca()
        self._unlink("dpm.json")
        self._start("dpm", self.dpm_command(*extra))

    def start_kn(self, *extra):
        self._unlink("kn.json")
        self._start("kn", self.kn_command(*extra))

    def _unlink(self, name):
        try:
            os.unlink(self.path(name))
        except FileNotFoundError:
            pass

    def kill(self, name, with_signal=signal.SIGKILL):
        """Ends a process and waits for it. Returns its exit status."""
        process = self.processes.pop(name, None)
        if process is None:
            return None
        if process.poll() is None:
            process.send_signal(with_signal)
        try:
            return process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def end_in_order(self, check):
        """KN, DPM and device, asked one after the other: each has to end with status 0, the device
        only if it found nothing wrong with its drivers."""
        for name in ("kn", "dpm", "hca"):
            if name in self.processes:
                check.equal(f"{name} ends in order", self.kill(name, signal.SIGTERM), 0)
                if name == "hca":
                    with open(self.logs[name], encoding="utf-8") as log:
                        print(log.read(), end="")

    def alive(self, name):
        return name in self.processes and self.processes[name].poll() is None

    def stats(self, name):
        try:
            with open(self.path(f"{name}.json"), encoding="utf-8") as file:
                return json.load(file)
        except (FileNotFoundError, json.JSONDecodeError):
            return None

    def wait_until(self, condition, what, seconds=60):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            result = condition()
            if result:
                return result
            for name, process in self.processes.items():
                if process.poll() is not None:
                    self.show_logs()
                    raise RuntimeError(f"{name} ended with {process.returncode} while waiting for {what}")
            time.sleep(0.02)
        self.show_logs()
        raise RuntimeError(f"no {what} within {seconds} s")

    def wait_serving(self, seconds=60):
        self.wait_until(lambda: (self.stats("kn") or {}).get("phase") == "serving",
                        "serving KN", seconds)

    def wait_serving_or_skip(self):
        """For ports that not every machine has: skips where the KN says that its port cannot be had."""
        try:
            self.wait_serving()
        except RuntimeError as error:
            if self.vdev != "af_xdp" or self.alive("kn"):
                raise
            skip(f"{self.vdev} does not work here: {error}")

    def in_client(self, command):
        return ["ip", "netns", "exec", self.client_ns, *command]

    def client(self, command, **options):
        options = {"capture_output": True, "text": True, "timeout": 300, **options}
        return subprocess.run(self.in_client(command), **options)

    def in_kn(self, command, **options):
        """Runs a command beside the KN: in its namespace, with the kernel's own network there."""
        options = {"capture_output": True, "text": True, "timeout": 300, **options}
        return subprocess.run(self._in_kn_namespace(command), **options)

    @property
    def server(self):
        return f"[{self.SERVER_IP6}]" if self.ip6 else self.SERVER_IP

    def cli(self, *arguments, **options):
        return self.client([self.program("dinomo-cli"), "--server", self.server, *arguments], **options)

    def bench(self, *arguments, good=True):
        """Runs dinomo-bench. Returns its last phase's JSON; with `good` it has to have succeeded."""
        result = self.path("bench.json")
        self._unlink("bench.json")
        done = self.client([self.program("dinomo-bench"), "--server", self.server, "--quiet", "--json",
                            result, *arguments], timeout=900)
        if good and done.returncode != 0:
            self.show_logs()
            raise RuntimeError(f"dinomo-bench {' '.join(arguments)} ended with {done.returncode}:\n"
                               f"{done.stdout}{done.stderr}")
        with open(result, encoding="utf-8") as file:
            return json.load(file)["phases"][-1]

    def counters(self):
        """The KN's counters as it answers them now; what asking costs is not in them."""
        done = self.cli("--json", "stats")
        if done.returncode != 0:
            raise RuntimeError(f"dinomo-cli stats: {done.stderr}")
        return json.loads(done.stdout)

    def show_logs(self):
        for name, path in self.logs.items():
            print(f"--- log of {name}", flush=True)
            with open(path, encoding="utf-8", errors="replace") as file:
                print("".join(file.readlines()[-60:]), flush=True)
