#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Compares the byte tables and examples of the format documents with the compiled headers.

usage: check_formats.py LAYOUT_DUMP DOCUMENT...

A table follows a heading  ### `namespace::Struct` (N bytes)  and has the columns offset, bytes, field.
Every struct and field of the dump has to be described, nothing may be described that is not there, and a
table has to cover the struct without gaps. An example is a block of hex digits with # comments after a
heading  ### name ."""
import json
import re
import subprocess
import sys
import unittest

LAYOUT = json.loads(subprocess.run([sys.argv[1]], check=True, capture_output=True, text=True).stdout)


def read_documents(paths):
    structs, examples = {}, {}
    for path in paths:
        with open(path, encoding='utf-8') as text:
            parts = re.split(r'^### ', text.read(), flags=re.M)[1:]
        for part in parts:
            head, body = part.split('\n', 1)
            match = re.match(r'`((?:\w+::)+\w+)` \((\d+) bytes\)$', head)
            if match:
                rows = re.findall(r'^\| *(\d+) *\| *(\d+) *\| *`(\w+)` *\|(.*)\|$', body.split('\n\n## ')[0]
                                  .split('\n\n\n')[0], re.M)
                structs[match.group(1)] = (int(match.group(2)), rows)
                continue
            block = re.match(r'\s*```\n(.*?)```', body, re.S)
            if block:
                digits = re.sub(r'#.*', '', block.group(1))
                examples[head.strip()] = re.sub(r'\s', '', digits)
    return structs, examples


STRUCTS, EXAMPLES = read_documents(sys.argv[2:])


class Formats(unittest.TestCase):
    def test_the_same_structs(self):
        self.assertEqual(sorted(STRUCTS), sorted(LAYOUT['structs']))

    def test_every_field_at_its_place(self):
        for name, layout in LAYOUT['structs'].items():
            bytes_said, rows = STRUCTS.get(name, (0, []))
            with self.subTest(name):
                self.assertEqual(bytes_said, layout['bytes'])
                said = {field: [int(offset), int(size)] for offset, size, field, _ in rows}
                self.assertEqual(said, layout['fields'])

    def test_no_gaps_and_no_empty_meanings(self):
        for name, (size, rows) in STRUCTS.items():
            at = 0
            for offset, length, field, meaning in rows:
                with self.subTest('%s.%s' % (name, field)):
                    self.assertEqual(int(offset), at)
                    self.assertTrue(meaning.strip())
                at += int(length)
            self.assertEqual(at, size, name)

    def test_examples(self):
        self.assertEqual(EXAMPLES, LAYOUT['examples'])


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1], verbosity=2)
