# SPDX-License-Identifier: BSD-3-Clause
"""What the scripts of the guest use of the system tests."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "system"))
import cluster  # noqa: E402,F401
import rt_test  # noqa: E402,F401
import verify_test  # noqa: E402,F401
