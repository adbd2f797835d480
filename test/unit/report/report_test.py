#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What test/report.py counts. usage: report_test.py REPORT_PY"""
import json
import os
import subprocess
import sys
import tempfile
import unittest

REPORT = os.path.abspath(sys.argv[1])

GOOGLETEST = '''[==========] Running 4 tests from 1 test suite.
[ RUN      ] A.good
[       OK ] A.good (0 ms)
[ RUN      ] A.bad
a.cc:7: Failure
[  FAILED  ] A.bad (1 ms)
[ RUN      ] A.param/0
[  FAILED  ] A.param/0, where GetParam() = 3 (1 ms)
[ RUN      ] A.not_here
a.cc:9: Skipped
needs a DAX device

[  SKIPPED ] A.not_here (0 ms)
[==========] 4 tests from 1 test suite ran. (2 ms total)
[  FAILED  ] 2 tests, listed below:
[  FAILED  ] A.bad
[  FAILED  ] A.param/0, where GetParam() = 3
'''


def run(tests, files=None):
    """Exit status and lines of the report on a build directory with this log."""
    with tempfile.TemporaryDirectory() as build:
        os.mkdir(os.path.join(build, 'meson-logs'))
        os.mkdir(os.path.join(build, 'meson-info'))
        for name, text in (files or {}).items():
            with open(os.path.join(build, name), 'w', encoding='utf-8') as f:
                f.write(text)
        if tests is not None:
            with open(os.path.join(build, 'meson-logs', 'testlog.json'), 'w', encoding='utf-8') as f:
                for test in tests:
                    f.write(json.dumps(test) + '\n')
        done = subprocess.run([sys.executable, REPORT, 'run', build], capture_output=True, text=True,
                              check=False)
    return done.returncode, done.stdout.strip().split('\n')


def test(name='dinomo:unit / t', result='OK', code=0, **more):
    return {'name': name, 'result': result, 'returncode': code, 'starttime': 0, **more}


class Report(unittest.TestCase):
    def test_googletest_cases(self):
        status, lines = run([test(result='FAIL', code=1, stdout=GOOGLETEST)])
        self.assertEqual(status, 1)
        self.assertEqual(lines[-1], '1 passed, 2 failed, 1 skipped')
        self.assertIn('  t: A.not_here -- needs a DAX device', lines)
        self.assertIn('  t: A.bad -- a.cc:7: Failure', lines)

    def test_a_crash_is_a_failure(self):
        crashed = GOOGLETEST.split('[ RUN      ] A.bad')[0] + '[ RUN      ] A.bad\n'
        status, lines = run([test(result='FAIL', code=-11, stdout=crashed)])
        self.assertEqual((status, lines[-1]), (1, '1 passed, 1 failed, 0 skipped'))

    def test_scripts(self):
        status, lines = run([test(), test(result='SKIP', code=77, stdout='x\nno root\n'),
                             test(result='TIMEOUT', code=-15)])
        self.assertEqual((status, lines[-1]), (1, '1 passed, 1 failed, 1 skipped'))
        self.assertIn('  t -- no root', lines)

    def test_tap(self):
        _, lines = run([test(stdout='1..3\nok 1 - a\nnot ok 2 - b\nok 3 - c # SKIP no disk\n')])
        self.assertEqual(lines[-1], '1 passed, 1 failed, 1 skipped')

    def test_xml_of_programs_that_print_something_else(self):
        xml = ('<testsuites><testsuite><testcase name="a" classname="S" status="run"/>'
               '<testcase name="b" classname="S" status="run"><failure message="no"/></testcase>'
               '</testsuite></testsuites>')
        _, lines = run([test(result='FAIL', code=1, stdout='hello\n')],
                       {'t.xml': xml, 'meson-info/intro-tests.json': json.dumps(
                           [{'name': 't', 'suite': ['dinomo:unit'], 'protocol': 'gtest'}])})
        self.assertEqual(lines[-1], '1 passed, 1 failed, 0 skipped')

    def test_nothing_ran(self):
        self.assertEqual(run(None)[0], 1)
        self.assertEqual(run([])[1][-1], '0 passed, 1 failed, 0 skipped')

    def test_what_the_configuration_left_out(self):
        log = {'meson-logs/meson-log.txt': 'WARNING: content skipped: fuzz: no runtime\n'}
        status, lines = run([test()], log)
        self.assertEqual((status, lines[-1]), (0, '1 passed, 0 failed, 1 skipped'))

    def test_sums(self):
        with tempfile.TemporaryDirectory() as folder:
            names = [os.path.join(folder, n) for n in 'ab']
            for name, text in zip(names, ['x\n1 passed, 0 failed, 2 skipped\n', 'broken\n']):
                with open(name, 'w', encoding='utf-8') as f:
                    f.write(text)
            done = subprocess.run([sys.executable, REPORT, 'sum', *names], capture_output=True,
                                  text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout.strip().split('\n')[-1], '1 passed, 1 failed, 2 skipped')


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1], verbosity=2)
