#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs the same CUnit suite built with libcunit and with our layer and compares everything it shows:
standard output and error, exit status, the XML files it writes.

usage: compare.py OURS LIBCUNIT'S     exit 0: the same, 1: differences (printed)"""
import difflib
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET


def normalise(text):
    text = re.sub(r'Elapsed time = .*', 'Elapsed time', text)
    # A run of one inactive test: libcunit computes 0 - 1 tests passed, unsigned; ours says 0.
    text = re.sub(r'(tests +\d+ +0)4294967295\b', r'\g<1>      0', text)
    text = re.sub(r'[^\s:]*/(\w+\.c)\b', r'\1', text)
    return text.rstrip('\n') + '\n'


def flatten(element, depth=0):
    text = ' '.join((element.text or '').split())
    if element.tag == 'CUNIT_FOOTER':
        text = re.sub(r' - .*', '', text)
    lines = ['  ' * depth + element.tag + ': ' + re.sub(r'\S*/(\w+\.c)$', r'\1', text) + '\n']
    for child in element:
        lines += flatten(child, depth + 1)
    return lines


def run(program):
    program = os.path.abspath(program)
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([program], cwd=folder, capture_output=True, text=True, timeout=60,
                              check=False, env={k: v for k, v in os.environ.items()
                                                if not k.startswith('GTEST_')})
        shown = {'stdout': normalise(done.stdout).splitlines(True),
                 'stderr': normalise(done.stderr).splitlines(True),
                 'exit status': ['%d\n' % done.returncode]}
        for name in sorted(os.listdir(folder)):
            shown[name] = flatten(ET.parse(os.path.join(folder, name)).getroot())
    return shown


def main():
    ours, real = run(sys.argv[1]), run(sys.argv[2])
    differs = False
    for part in sorted(set(ours) | set(real)):
        diff = list(difflib.unified_diff(real.get(part, ['missing\n']), ours.get(part, ['missing\n']),
                                         'libcunit ' + part, 'ours ' + part))
        sys.stdout.writelines(diff)
        differs = differs or bool(diff)
    print('differences' if differs else 'the same: ' + ', '.join(
        '%s (%d lines)' % (part, len(lines)) for part, lines in sorted(ours.items())))
    return 1 if differs else 0


if __name__ == '__main__':
    sys.exit(main())
