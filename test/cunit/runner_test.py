#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A CUnit program is a GoogleTest program, too: lists, filters, XML, exit status.

usage: runner_test.py PASSING FAILING"""
import os
import re
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ET

PASSING, FAILING = (os.path.abspath(p) for p in sys.argv[1:3])


def run(program, *arguments):
    with tempfile.TemporaryDirectory() as folder:
        report = os.path.join(folder, 'report.xml')
        done = subprocess.run([program, '--gtest_output=xml:' + report, *arguments], cwd=folder,
                              capture_output=True, text=True, timeout=60, check=False)
        root = ET.parse(report).getroot() if os.path.exists(report) else None
    return done, root


def outcome(root):
    """{suite.test: passed | failed | skipped}"""
    found = {}
    for case in root.iter('testcase'):
        name = case.get('classname') + '.' + case.get('name')
        if case.find('failure') is not None:
            found[name] = 'failed'
        elif case.find('skipped') is not None or case.get('status') == 'notrun':
            found[name] = 'skipped'
        else:
            found[name] = 'passed'
    return found


class Runner(unittest.TestCase):
    def test_passing(self):
        done, root = run(PASSING)
        self.assertEqual(done.returncode, 0, done.stdout)
        found = outcome(root)
        self.assertEqual(found['with_set_up.first'], 'passed')
        # Every run of the program is in the one report.
        self.assertEqual(found['with_set_up/9.second'], 'passed')
        self.assertEqual(len(found), 3 * (2 + 2 + 1))

    def test_failures_reach_the_report(self):
        done, root = run(FAILING)
        self.assertEqual(done.returncode, 7)  # the program's own status wins
        found = outcome(root)
        self.assertEqual(found['each.passes'], 'passed')
        self.assertEqual(found['each.fails'], 'failed')
        self.assertEqual(found['init_fails.never_run_1'], 'failed')  # stands for its suite
        self.assertEqual(found['init_fails.never_run_2'], 'skipped')
        self.assertEqual(found['empty.no_tests'], 'skipped')
        messages = [f.get('message') for f in root.iter('failure')]
        self.assertTrue(any(re.search(r'failing\.c:\d+\n0 == 1', m) for m in messages), messages)

    def test_suite_failures_fail_the_suite(self):
        _, root = run(FAILING, '--gtest_filter=cleanup_fails.*')
        self.assertEqual(outcome(root), {'cleanup_fails.passes': 'passed'})

    def test_filter(self):
        done, root = run(PASSING, '--gtest_filter=*.first')
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertTrue(all(name.endswith('.first') for name in outcome(root)))
        self.assertIn('tests      2      1      1      0', done.stdout)

    def test_a_filtered_suite_is_not_initialised(self):
        done, _ = run(FAILING, '--gtest_filter=each.passes')
        self.assertNotIn('<init fails>', done.stdout)

    def test_list(self):
        done, _ = run(PASSING, '--gtest_list_tests')
        self.assertEqual(done.returncode, 0)
        self.assertIn('with_set_up.\n  first\n  second\n', done.stdout)

    def test_exit_status_shows_failures(self):
        # assertions.c returns CU_get_error(), which is 0 although assertions failed.
        program = os.path.join(os.path.dirname(FAILING), 'cunit_ours_assertions')
        plain = subprocess.run([program], capture_output=True, check=False, timeout=60)
        self.assertEqual(plain.returncode, 0)
        self.assertEqual(run(program)[0].returncode, 1)


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1], verbosity=2)
