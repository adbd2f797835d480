# SPDX-License-Identifier: BSD-3-Clause
"""A small machine under QEMU (emulated, no KVM needed): Debian's stock kernel, this machine's files
read-only with an overlay in memory, and what these machines lack: soft-RoCE and persistent memory.

    guest = Guest(folder_of_prepare_sh, pmem_file)
    result = guest.run("uname -r", timeout_s=120)      # result.status, result.output, result.panicked

A script starts in inside/setup.sh's environment. What it writes vanishes, but for $JOB, a folder of the
host that `result.job` names, and the persistent memory, which is `pmem_file` and survives boots.
"""
import os
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass

HERE = os.path.dirname(os.path.abspath(__file__))
MEMORY_MB, CPUS = 3072, 2


@dataclass
class Result:
    status: int  # of the script; 124 out of time, 125 the machine ended without an answer
    output: str
    console: str

    @property
    def panicked(self):
        return "Kernel panic" in self.console


class Guest:
    def __init__(self, folder, pmem_file=None, pmem_mb=512):
        self.folder, self.pmem_file = folder, pmem_file
        self.job = tempfile.mkdtemp(prefix="dinomo-guest-")
        if pmem_file and not os.path.exists(pmem_file):
            with open(pmem_file, "wb") as file:
                file.truncate(pmem_mb << 20)
        self.pmem_bytes = os.path.getsize(pmem_file) if pmem_file else 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.job, ignore_errors=True)

    def _path(self, name):
        return os.path.join(self.job, name)

    def _read(self, name):
        try:
            with open(self._path(name), encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def _write_start(self, script):
        with open(os.path.join(self.folder, "release"), encoding="ascii") as file:
            release = file.read().strip()
        lines = (
            "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/ TERM=dumb",
            "export JOB=/run/job",
            "mkdir -p /lib/modules",
            f"ln -sfn {shlex.quote(os.path.join(self.folder, 'tree/lib/modules', release))} "
            f"/lib/modules/{release}",
            f". {shlex.quote(os.path.join(HERE, 'inside/setup.sh'))} > $JOB/setup 2>&1",
            "cd /tmp && bash $JOB/script > $JOB/output 2>&1 < /dev/null",
            "echo $? > $JOB/status",
            "sync; echo o > /proc/sysrq-trigger; sleep 60",
        )
        with open(self._path("start"), "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        with open(self._path("script"), "w", encoding="utf-8") as file:
            file.write(script + "\n")

    def _command(self):
        command = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", str(CPUS),
                   "-m", f"{MEMORY_MB}M,slots=2,maxmem={MEMORY_MB + 4096}M", "-nodefaults", "-no-user-config",
                   "-display", "none", "-no-reboot", "-serial", f"file:{self._path('console')}",
                   "-object", "rng-random,id=random,filename=/dev/urandom",
                   "-device", "virtio-rng-pci,rng=random"]
        for tag, path, more in (("machine", "/", ",readonly=on,multidevs=remap"), ("job", self.job, "")):
            command += ["-fsdev", f"local,id={tag},path={path},security_model=none{more}",
                        "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
        command += ["-machine", "pc,nvdimm=on" if self.pmem_file else "pc"]
        if self.pmem_file:
            command += ["-object", f"memory-backend-file,id=pmem,share=on,mem-path={self.pmem_file},"
                                   f"size={self.pmem_bytes}",
                        "-device", "nvdimm,id=nvdimm,memdev=pmem"]
        return command + ["-kernel", os.path.join(self.folder, "kernel"),
                          "-initrd", os.path.join(self.folder, "initrd"), "-append",
                          "console=ttyS0 quiet panic=-1 mitigations=off nokaslr tsc=reliable no_timer_check "
                          "random.trust_cpu=on"]

    def run(self, script, timeout_s):
        for name in ("status", "output", "setup", "console"):
            if os.path.exists(self._path(name)):
                os.unlink(self._path(name))
        self._write_start(script)
        with open(self._path("qemu.log"), "wb") as log:
            machine = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            try:
                machine.wait(timeout_s)
                ended = 125
            except subprocess.TimeoutExpired:
                ended = 124
            finally:
                machine.kill()
                machine.wait()
        status = self._read("status").strip()
        return Result(int(status) if status else ended,
                      self._read("output") or self._read("setup") + self._read("qemu.log"),
                      self._read("console"))
