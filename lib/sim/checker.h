// SPDX-License-Identifier: BSD-3-Clause
// Is a history linearizable, key by key?
//
// Linearizability is local, so every key is judged alone. A key's invocations and replies are
// walked in order of time with the set of all configurations that explain what was seen so far: a
// state of the item, and which of the operations under way have taken effect already. An operation
// has to have taken effect when its reply comes (just-in-time linearization); configurations that
// cannot explain a reply are dropped, and a history is wrong when none is left. Where nothing is
// under way (a quiescent point) only states are left, so time grows with length, not with its
// square.
//
// Operations without a reply may take effect at any later time or never. They are kept small by
// dominance: of two configurations in the same state, the one that needed fewer of them explains
// everything that the other does.
//
// What the model takes from replies, and where it allows more than one outcome: item_model.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/history.h"
#include "sim/item_model.h"

namespace dinomo::sim {

struct CheckOptions {
  ItemModelOptions model;
  uint32_t configurations_max = 200'000;  // of one key at one time; beyond: undecided
};

enum class Verdict : uint8_t { kLinearizable, kNotLinearizable, kUndecided };

struct CheckReport {
  Verdict verdict = Verdict::kLinearizable;
  std::string key;          // the first key that is not linearizable or not decided
  std::string explanation;  // of it, several lines
  uint64_t keys = 0;
  uint64_t operations = 0;          // judged
  uint64_t unanswered = 0;          // mutations of them without a reply
  uint64_t ignored = 0;             // refused ones, and reads without a reply
  uint64_t configurations_max = 0;  // most at one time
};

CheckReport check_linearizable(const History& history, const CheckOptions& options = {});

}  // namespace dinomo::sim
