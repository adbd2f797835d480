#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Counts what a test run really did: single GoogleTest cases, TAP points, one for any other script.

usage: report.py run BUILD       after `meson test -C BUILD`
       report.py sum FILE...     of logs whose last line is a count

`run` lists failed and skipped cases, the latter with their reason, and what the configuration left
out. The last line is `N passed, N failed, N skipped`. Exit status 1 if anything failed or nothing
ran."""
import argparse
import json
import os
import re
import sys
import xml.etree.ElementTree as ET

COUNTS = re.compile(r'^(\d+) passed, (\d+) failed, (\d+) skipped$')


class Tally:
    def __init__(self):
        self.passed = 0
        self.failed = []   # (name, why)
        self.skipped = []  # (name, why)

    def total(self):
        return self.passed + len(self.failed) + len(self.skipped)

    def line(self):
        return '%d passed, %d failed, %d skipped' % (self.passed, len(self.failed), len(self.skipped))


def last_line(text):
    lines = [line.strip() for line in (text or '').splitlines() if line.strip()]
    return lines[-1][:200] if lines else ''


def count_googletest_output(name, text, tally):
    """Cases from GoogleTest's standard output."""
    reason = []
    for line in text.splitlines():
        match = re.match(r'\[ RUN      \] (\S.*)$', line)
        if match:
            reason = []
            continue
        match = re.match(r'\[(       OK |  FAILED  |  SKIPPED )\] (\S+)(?:, where .*)? \(\d+ ms\)$', line)
        if not match:
            reason.append(line)
            continue
        case = name + ': ' + match.group(2)
        if 'OK' in match.group(1):
            tally.passed += 1
        elif 'SKIPPED' in match.group(1):
            why = [l for l in reason if l.strip() and not re.search(r': Skipped$', l)]
            tally.skipped.append((case, ' '.join(why).strip() or 'no reason given'))
        else:
            tally.failed.append((case, last_line('\n'.join(l for l in reason if 'Failure' in l))))


def count_googletest_xml(name, path, tally):
    for case in ET.parse(path).getroot().iter('testcase'):
        label = '%s: %s.%s' % (name, case.get('classname'), case.get('name'))
        skip = case.find('skipped')
        failure = case.find('failure')
        if failure is not None:
            tally.failed.append((label, (failure.get('message') or '').replace('\n', ' ')))
        elif skip is not None or case.get('status') == 'notrun':
            why = (skip.get('message') if skip is not None else 'disabled') or ''
            tally.skipped.append((label, ' '.join(why.split()[1:] if ':' in why else why.split())))
        else:
            tally.passed += 1


def count_tap(name, text, tally):
    for line in text.splitlines():
        match = re.match(r'(not )?ok\b\s*\d*\s*-?\s*([^#]*)(?:#\s*(skip)\S*\s*(.*))?$', line, re.I)
        if not match:
            continue
        case = name + ': ' + match.group(2).strip()
        if match.group(3):
            tally.skipped.append((case, match.group(4) or 'no reason given'))
        elif match.group(1):
            tally.failed.append((case, ''))
        else:
            tally.passed += 1


def googletest_programs(build):
    """Names, as in the log, of the tests that Meson runs as GoogleTest programs."""
    try:
        with open(os.path.join(build, 'meson-info', 'intro-tests.json')) as listing:
            tests = json.load(listing)
    except OSError:
        return set()
    return {'%s / %s' % ('+'.join(t['suite']), t['name']) for t in tests
            if t.get('protocol') == 'gtest'}


def count_test(test, build, googletests, tally):
    name = test['name'].split(' / ')[-1]  # without "project:suite"
    out, err = test.get('stdout') or '', test.get('stderr') or ''
    result, before, failed_before = test['result'], tally.total(), len(tally.failed)
    # Meson makes GoogleTest programs write NAME.xml into the build directory. Their standard output
    # says the same and cannot be that of another test of the same name, so it comes first.
    xml = os.path.join(build, name + '.xml')
    if re.search(r'^\[==========\] ', out, re.M):
        count_googletest_output(name, out, tally)
    elif test['name'] in googletests and os.path.exists(xml) and \
            os.path.getmtime(xml) >= test.get('starttime', 0):
        count_googletest_xml(name, xml, tally)
    elif re.search(r'^1\.\.\d+', out, re.M):
        count_tap(name, out, tally)
    cases = tally.total() - before
    if result == 'SKIP':
        if cases == 0:
            tally.skipped.append((name, last_line(out) or last_line(err) or 'no reason given'))
    elif result in ('OK', 'EXPECTEDFAIL'):
        if cases == 0:
            tally.passed += 1
    elif len(tally.failed) == failed_before:
        # Crashed, timed out, or failed outside of any case.
        why = '%s, exit status %s' % (result.lower(), test.get('returncode'))
        tally.failed.append((name, why + ': ' + (last_line(err) or last_line(out))))


def configuration_skips(build):
    path = os.path.join(build, 'meson-logs', 'meson-log.txt')
    if not os.path.exists(path):
        return []
    with open(path, errors='replace') as log:
        found = re.findall(r'content skipped: (.*)', log.read())
    return sorted({reason.strip() for reason in found if reason.strip() != 'nothing'})


def show(title, entries):
    if entries:
        print('\n%s:' % title)
    for name, why in entries:
        print('  %s%s' % (name, ' -- ' + why if why else ''))


def report(build):
    tally = Tally()
    log = os.path.join(build, 'meson-logs', 'testlog.json')
    tests = []
    if os.path.exists(log):
        with open(log, errors='replace') as lines:
            tests = [json.loads(line) for line in lines if line.strip()]
    googletests = googletest_programs(build)
    for test in tests:
        count_test(test, build, googletests, tally)
    for reason in configuration_skips(build):
        tally.skipped.append(('configuration', reason))
    show('skipped', tally.skipped)
    show('FAILED', tally.failed)
    if tally.passed == 0 and not tally.failed:
        tally.failed.append(('all', 'nothing ran'))
        print('\nFAILED: nothing ran; is there a %s?' % log)
    print('\n' + tally.line())
    return 1 if tally.failed else 0


def total(files):
    sums = [0, 0, 0]
    for path in files:
        with open(path, errors='replace') as text:
            match = COUNTS.match(last_line(text.read()))
        if match is None:
            print('%s: its last line is no count; it counts as one failure' % path)
        values = [int(v) for v in match.groups()] if match else [0, 1, 0]
        sums = [a + b for a, b in zip(sums, values)]
    print('%d passed, %d failed, %d skipped' % tuple(sums))
    return 1 if sums[1] or not sums[0] else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest='command', required=True)
    run = commands.add_parser('run')
    run.add_argument('build')
    add = commands.add_parser('sum')
    add.add_argument('files', nargs='+')
    arguments = parser.parse_args()
    return report(arguments.build) if arguments.command == 'run' else total(arguments.files)


if __name__ == '__main__':
    sys.exit(main())
