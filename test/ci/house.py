#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""House rules that neither compiler nor clang-format knows. usage: house.py BUILD

  spdx      every tracked file names its licence in the first lines
  paths     no path of somebody's machine
  await     co_await only as  T x = co_await f(a);  x = co_await f(a);  co_await f(a);
            co_return co_await f(a);  since other spellings are miscompiled by g++ 12
  seams     lib/ includes no driver and no app, drivers/ no app; lib/ reads no clock, prints nothing
  headers   every header compiles alone
  lengths   files over 400 lines are listed; over 1000 is a failure

BUILD is a configured build directory; the headers are compiled with its flags. One case a rule and
file. Exit status 1 if any failed."""
import concurrent.futures
import json
import os
import re
import shlex
import subprocess
import sys

NO_SPDX = re.compile(r'(^LICENSE$|\.(json|png|svg|xml|xz)$)')
MACHINE = re.compile(r'(/work/|/home/|/root/|\.\./shared|/mnt/)')
LENGTH_NOTE, LENGTH_MAX = 400, 1000

AWAIT_OK = re.compile(r'^(?:(?:const\s+)?[\w:<>,&*\s]+?[\s&*]\w+\s*=\s*|[\w.\->\[\]]+\s*=\s*|'
                      r'co_return\s+|\(void\)\s*)?co_await\b(?!.*\[[^\]]*\]\s*[({]).*$', re.S)

# What lib/ may not do itself: the Clock seam, the caller's printing.
LIB_FORBIDDEN = [
    (re.compile(r'\b(steady_clock|system_clock|high_resolution_clock)\b|\bclock_gettime\s*\('),
     'reads a clock: use the Clock seam'),
    (re.compile(r'\b(random_device|getrandom\s*\()'), 'draws randomness: let the caller pass it in'),
    (re.compile(r'\brte_eal_\w+\s*\('), 'calls EAL'),
    (re.compile(r'\bstd::(cout|cerr)\b|(?<![\w.>:])printf\s*\('), 'prints'),
]


# Composes a library with its driver, as a program does.
COMPOSED = 'lib/sdk/'


class Checks:
    def __init__(self):
        self.passed = 0
        self.failed = 0

    def case(self, ok, message):
        if ok:
            self.passed += 1
        else:
            self.failed += 1
            print(message)


def tracked():
    listed = subprocess.run(['git', 'ls-files'], check=True, capture_output=True, text=True).stdout
    return [f for f in listed.split('\n') if f and os.path.isfile(f)]


def read(path):
    with open(path, errors='replace') as f:
        return f.read()


def without_comments(text):
    """Comments and string contents blanked, line numbers kept."""
    def blank(match):
        token = match.group(0)
        if token.startswith('/'):
            return re.sub(r'[^\n]', ' ', token)
        return token[0] + token[-1]
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text,
                  flags=re.S)


def check_awaits(path, text, checks):
    """Takes the statement around each co_await, from the last ; { } to the next ;"""
    code = re.sub(r'^\s*#.*$', '', without_comments(text), flags=re.M)
    wrong = []
    for match in re.finditer(r'\bco_await\b', code):
        if re.search(r'operator\s*$', code[:match.start()]):
            continue
        begin = max(code.rfind(c, 0, match.start()) for c in ';{}') + 1
        end = code.find(';', match.end())
        statement = ' '.join(code[begin:end].split())
        statement = re.sub(r'^(?:case\b[^:]*:(?!:)\s*|default\s*:\s*)', '', statement)
        if not AWAIT_OK.match(statement) or statement.count('co_await') != 1:
            wrong.append('%s:%d: co_await is not a statement of its own: %s' %
                         (path, code.count('\n', 0, match.start()) + 1, statement[:90]))
    if re.search(r'\bco_await\b', code):
        checks.case(not wrong, '\n'.join(wrong))


def check_seams(path, text, checks):
    code = without_comments(text)
    wrong = []
    includes = re.findall(r'^\s*#\s*include\s*"([^"]+)"', text, re.M)
    top = 'app' if path.startswith(COMPOSED) else path.split('/')[0]
    for name in includes:
        if (top == 'lib' and name.startswith(('drivers/', 'app/'))) or \
           (top == 'drivers' and name.startswith('app/')):
            wrong.append('%s: includes "%s"' % (path, name))
    if top == 'lib':
        for pattern, why in LIB_FORBIDDEN:
            for match in pattern.finditer(code):
                wrong.append('%s:%d: %s' % (path, code.count('\n', 0, match.start()) + 1, why))
    checks.case(not wrong, '\n'.join(wrong))


def compile_flags(build):
    """Include folders and definitions of all of the build's C++ commands together."""
    flags = {}
    for entry in json.loads(read(os.path.join(build, 'compile_commands.json'))):
        words = shlex.split(entry['command'])
        i = 0
        while i < len(words):
            word = words[i]
            if word in ('-isystem', '-include'):
                value = words[i + 1]
                if word == '-isystem':
                    value = os.path.normpath(os.path.join(entry['directory'], value))
                flags[(word, value)] = None
                i += 1
            elif word.startswith('-I') and '.p' not in word:
                flags[('-I' + os.path.normpath(os.path.join(entry['directory'], word[2:])),)] = None
            elif word.startswith('-D') and 'DINOMO_VERSION' not in word:
                flags[(word,)] = None
            i += 1
    return [word for group in flags for word in group]


def compile_header(header, flags):
    if '/CUnit/' in header:
        command = ['clang-19', '-std=c99', '-x', 'c', '-Wall', '-Wextra', '-Wpedantic', '-Werror',
                   '-fsyntax-only', '-I', header.split('/CUnit/')[0], header]
    else:
        command = ['clang++-19', '-std=c++23', '-x', 'c++', '-fsyntax-only', '-w', '-march=native',
                   '-fno-strict-aliasing', '-DDINOMO_VERSION="0"', *flags, header]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return header, done.returncode == 0, done.stderr


def main():
    build = os.path.abspath(sys.argv[1]) if len(sys.argv) == 2 else sys.exit(__doc__)
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..'))
    checks = Checks()
    files = tracked()
    long_files = []
    for path in files:
        text = read(path)
        if not NO_SPDX.search(path):
            head = '\n'.join(text.split('\n')[:5])
            checks.case('SPDX-License-Identifier: BSD-3-Clause' in head,
                        path + ': no SPDX tag in the first five lines')
        if path != 'test/ci/house.py':
            found = MACHINE.search(text)
            checks.case(found is None, '%s: path of a machine: %s' %
                        (path, text[found.start():found.start() + 40].split('\n')[0] if found else ''))
        if path.endswith(('.h', '.cc')):
            if not path.startswith('test/compiler/'):
                check_awaits(path, text, checks)
            check_seams(path, text, checks)
        lines = text.count('\n')
        if path.endswith(('.h', '.cc', '.c', '.py', '.sh')):
            checks.case(lines <= LENGTH_MAX, '%s: %d lines' % (path, lines))
            if lines > LENGTH_NOTE:
                long_files.append((lines, path))
    headers = [f for f in files if f.endswith('.h') and not f.startswith('test/cunit/suites/')]
    flags = compile_flags(build)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for header, ok, errors in pool.map(lambda h: compile_header(h, flags), headers):
            checks.case(ok, '%s does not compile alone:\n%s' % (header, errors[:1500]))
    if long_files:
        print('files over %d lines, to be looked at again:' % LENGTH_NOTE)
        for lines, path in sorted(long_files, reverse=True):
            print('  %5d %s' % (lines, path))
    print('%d passed, %d failed, 0 skipped' % (checks.passed, checks.failed))
    return 1 if checks.failed else 0


if __name__ == '__main__':
    sys.exit(main())
