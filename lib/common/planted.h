// SPDX-License-Identifier: BSD-3-Clause
// Bugs planted on purpose, by which tests prove that they would find the real ones. A site in the
// code reads
//
//   if (planted("tombstone-forgotten")) return Status::kOk;
//
// and is compiled away in the product: only test programs that are built with DINOMO_PLANTED_BUGS
// (test/crash/meson.build compiles the libraries once more for them) can switch a bug on.
//
// Thread rule: planted_bug is set while nothing else runs.
#pragma once

#include <string_view>

namespace dinomo {

#ifdef DINOMO_PLANTED_BUGS

// A program may link parts that were compiled without bugs: their planted() is another function.
inline namespace with_planted_bugs {

inline std::string_view planted_bug;  // name of the one that is switched on, empty: none

inline bool planted(std::string_view name) noexcept { return name == planted_bug; }

}  // namespace with_planted_bugs

#else

constexpr bool planted(std::string_view) noexcept { return false; }

#endif

}  // namespace dinomo
