#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""dinomo-sizing: its sums against ones made by hand and against laws that every load obeys.

    sizing_test.py USERTOOLS"""
import json
import os
import subprocess
import sys
import unittest

TOOL = os.path.join(sys.argv.pop(1), "dinomo-sizing.py")
LOAD = {"keys": "1m", "value-bytes": "1000", "ops": "1m", "key-bytes": "24"}


def run(**changes):
    options = {**LOAD, **{k.replace("_", "-"): v for k, v in changes.items()}}
    words = [w for name, value in options.items() for w in (f"--{name}", str(value))]
    return subprocess.run([sys.executable, TOOL, *words, "--json"], capture_output=True, text=True, timeout=60, check=False)


def sized(**changes):
    done = run(**changes)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Sizing(unittest.TestCase):
    def test_pool_by_hand(self):
        found = sized()
        self.assertEqual(found["entry_bytes"], 1088)  # 56 + 24 + 1000 = 1080, up to 17 * 64
        self.assertAlmostEqual(found["pool_bytes"], 1e6 * 1088 / 0.8 * 32 / 27, delta=1)
        small = sized(value_bytes=8, key_bytes=8)  # of small items the index takes more than its share
        self.assertEqual(small["entry_bytes"], 128)
        self.assertGreater(sized(value_bytes=1, key_bytes=7)["pool_bytes"], 1e6 * 64 / 0.8 * 32 / 27)

    def test_all_in_the_cache_costs_nothing(self):
        found = sized(cache_bytes="2g")
        self.assertEqual((found["get_value_share"], found["rts_per_get"]), (1, 0))
        self.assertEqual(found["fabric_read_bits_per_s"], 0)

    def test_shares_add_up_and_more_memory_never_hurts(self):
        last = 2.0
        for cache in ("1m", "4m", "16m", "64m", "256m", "1g"):
            found = sized(cache_bytes=cache)
            total = found["get_value_share"] + found["get_shortcut_share"] + found["get_miss_share"]
            self.assertAlmostEqual(total, 1)
            self.assertAlmostEqual(found["rts_per_get"], found["get_shortcut_share"] + 2 * found["get_miss_share"])
            self.assertLessEqual(found["rts_per_get"], last)
            last = found["rts_per_get"]

    def test_uniform_keys_by_hand(self):
        found = sized(theta=0, cache_bytes=8_000_000)  # 500,000 shortcuts know half of the keys, values 7576
        self.assertAlmostEqual(found["get_shortcut_share"], 0.5, delta=0.001)
        self.assertAlmostEqual(found["rts_per_get"], 1.5, delta=0.001)

    def test_the_cache_for_a_goal_reaches_it(self):
        for goal in (0.7, 0.5, 0.1):
            found = sized(rts=goal)
            self.assertLessEqual(found["rts_per_get"], goal)
            less = sized(cache_bytes=int(found["cache_bytes"] * 0.97))
            self.assertGreater(less["rts_per_get"], goal)

    def test_lcores_and_network_grow_with_the_load(self):
        one, ten = sized(cache_bytes="64m"), sized(ops="10m", cache_bytes="64m")
        self.assertGreaterEqual(ten["worker_lcores"], 5 * one["worker_lcores"])
        self.assertAlmostEqual(ten["clients_out_bits_per_s"], 10 * one["clients_out_bits_per_s"])
        self.assertEqual(ten["kns"], -(-ten["worker_lcores"] // 8))
        self.assertGreater(sized(pack=1, port="af_packet")["worker_lcores"], one["worker_lcores"])
        loose = sized(pack=1, cache_bytes="64m")  # 74 bytes of headers for each operation instead of for 8
        self.assertAlmostEqual(loose["clients_in_bits_per_s"] - one["clients_in_bits_per_s"], 8e6 * 74 * 7 / 8, delta=1)
        self.assertEqual(sized(datagram_ns=0, cache_bytes="2g", reads=1, value_bytes=64)["engine_ns_per_op"], 144)

    def test_what_makes_no_sense_is_refused(self):
        for change, words in (({"keys": "0"}, "no number above 0"), ({"keys": "many"}, "no number above 0"),
                              ({"reads": "1.5"}, "no share"), ({"theta": "-1"}, "no number from 0"),
                              ({"value_bytes": "64k"}, "at most 60k"), ({"key_bytes": "251"}, "at most 250"),
                              ({"ops": "nan"}, "no number above 0"), ({"rts": "nan"}, "no number from 0")):
            done = run(**change)
            self.assertEqual(done.returncode, 2, str(change))
            self.assertIn(words, done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
