#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""System test of what `meson install` gives to others: the client library, its headers and its
pkg-config file; the examples, compiled against them by every compiler that is here and run against a
real KN.

Usage: install_test.py BUILD
"""
import json
import os
import re
import shutil
import subprocess
import sys

from cluster import Checks, Cluster, need_root

C_COMPILERS = ("gcc", "clang-19")
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **options)


class Installed:
    """An installation in a folder of its own."""

    def __init__(self, build, folder, check):
        self.root = os.path.join(folder, "root")
        done = run("meson", "install", "-C", build, "--no-rebuild", "--destdir", self.root)
        check("meson install", done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:])
        options = json.loads(run("meson", "introspect", "--buildoptions", build).stdout)
        self.prefix = self.root + next(o["value"] for o in options if o["name"] == "prefix")
        self.libdir = self.find("libdinomo-client.so")
        self.pc = self.find("dinomo-client.pc")

    def find(self, name):
        for folder, _, files in os.walk(self.root):
            if name in files:
                return folder
        raise RuntimeError(f"{name} was not installed")

    def flags(self, *arguments):
        # The file names the final prefix; the installation stands in a folder.
        done = run("pkg-config", f"--define-variable=prefix={self.prefix}", *arguments, "dinomo-client",
                   env={**os.environ, "PKG_CONFIG_PATH": self.pc})
        if done.returncode != 0:
            raise RuntimeError(f"pkg-config: {done.stderr}")
        return done.stdout.split()


def check_library(installed, check):
    library = os.path.join(installed.libdir, "libdinomo-client.so")
    dynamic = run("readelf", "-dW", library).stdout
    check.equal("soname", re.findall(r"\(SONAME\).*\[(.*)\]", dynamic), ["libdinomo-client.so.1"])
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic)
    foreign = [n for n in needed if not n.startswith(("libc.", "libstdc++.", "libgcc_s.", "libm.", "ld-linux"))]
    check.equal("libraries that users would have to have", foreign, [])
    check("no path into the build", not re.search(r"R(UN)?PATH", dynamic))
    exported = {line.split()[-1] for line in run("nm", "-D", "--defined-only", library).stdout.splitlines()}
    exported = {name.split("@")[0] for name in exported} - {"DINOMO_1"}
    with open(os.path.join(installed.prefix, "include", "dinomo", "dinomo.h"), encoding="utf-8") as file:
        declared = set(re.findall(r"\b(dinomo_\w+)\(", file.read()))
    check.equal("exported and not declared", exported - declared, set())
    check.equal("declared and not exported", declared - exported, set())


def check_files(installed, check):
    """Man pages of what is installed, and the Python module, which finds the installed library."""
    programs = os.listdir(os.path.join(installed.prefix, "bin"))
    pages = [f for _, _, files in os.walk(os.path.join(installed.prefix, "share", "man")) for f in files]
    for name in [*programs, "dinomo-client"]:
        check(f"a man page of {name}", any(re.fullmatch(re.escape(name) + r"\.\d", page) for page in pages))
    module = installed.find("aio.py")
    done = run(sys.executable, "-c", "import dinomo.client as c; print(c.__file__, c.version())", cwd="/",
               env={**os.environ, "PYTHONPATH": os.path.dirname(module), "LD_LIBRARY_PATH": installed.libdir})
    check("the installed Python module loads the installed library",
          done.returncode == 0 and module in done.stdout, done.stdout + done.stderr)


def compile_examples(installed, folder, check):
    """Returns the commands of all examples by name."""
    examples = os.path.join(installed.prefix, "share", "doc", "dinomo", "examples")
    programs = {}
    found = [c for c in C_COMPILERS if shutil.which(c)]
    check("a compiler is there", found, str(found))
    for compiler in found:
        for name in sorted(os.listdir(examples)):
            if not name.endswith((".c", ".cc")):
                continue
            cpp = name.endswith(".cc")
            command = [compiler.replace("gcc", "g++").replace("clang", "clang++") if cpp else compiler,
                       "-std=c++17" if cpp else "-std=c11", *STRICT]
            program = os.path.join(folder, f"{name}-{compiler}")
            done = run(*command, os.path.join(examples, name), "-o", program,
                       *installed.flags("--cflags", "--libs"))
            if check(f"{compiler} compiles {name}", done.returncode == 0, done.stderr):
                programs[os.path.basename(program)] = [program]
    for name in sorted(os.listdir(examples)):
        if name.endswith(".py"):
            programs[name] = [sys.executable, os.path.join(examples, name)]
    return programs


def compile_headers(installed, folder, check):
    """The C header alone, in both languages and at the oldest standards that it promises."""
    unit = os.path.join(folder, "alone.c")
    with open(unit, "w", encoding="utf-8") as file:
        file.write("#include <dinomo/dinomo.h>\nint alone;\n")
    for command in (["clang-19", "-x", "c", "-std=c99"], ["clang-19", "-x", "c", "-std=c11"],
                    ["clang++-19", "-x", "c++", "-std=c++11"], ["clang++-19", "-x", "c++", "-std=c++23"]):
        done = run(*command, *STRICT, "-fsyntax-only", *installed.flags("--cflags"), unit)
        check(" ".join(command) + " takes dinomo.h alone", done.returncode == 0, done.stderr)


def main():
    need_root()
    check = Checks(" ".join(sys.argv))
    with Cluster(sys.argv[1]) as c:
        installed = Installed(sys.argv[1], c.directory, check)
        check.equal("pkg-config's version is the project's",
                    installed.flags("--modversion"),
                    [json.loads(run("meson", "introspect", "--projectinfo", sys.argv[1]).stdout)["version"]])
        check_library(installed, check)
        check_files(installed, check)
        compile_headers(installed, c.directory, check)
        programs = compile_examples(installed, c.directory, check)
        environment = {**os.environ, "LD_LIBRARY_PATH": installed.libdir,
                       "PYTHONPATH": os.path.dirname(installed.find("aio.py"))}
        for name, program in programs.items():
            done = c.client([*program, "no-such-host.invalid"], env=environment)
            check(f"{name} without a host says so", done.returncode == 1 and "unknown host" in done.stderr,
                  done.stdout + done.stderr)
        c.start_dpm()
        c.start_kn()
        c.wait_serving()
        for name, program in programs.items():
            done = c.client([*program, c.server], env=environment)
            check(f"{name} runs", done.returncode == 0, done.stdout + done.stderr)
    return check.finish()


if __name__ == "__main__":
    sys.exit(main())
