// SPDX-License-Identifier: BSD-3-Clause
// The leader's decisions about the ring, as a pure function of the ring and of what is known of the
// KNs. A partition changes hands in two versions:
//
//   version a: it is marked as moving; its owner stops serving it, has its writes merged, forgets
//              what it cached, and acknowledges a
//   version b: it has its new owner, which serves it as soon as it sees b
//
// or in one, when the incarnation that owned it is gone (sealed, merged, and its lease over).
// Everything that a next leader needs lies in the ring and the directory: it goes on where the last
// one stopped, or turns back if the members have changed.
#pragma once

#include <optional>
#include <span>

#include "cluster/members.h"
#include "ring/placement.h"
#include "ring/ring.h"

namespace dinomo::cluster {

/// Whoever is to own what: the members that do not leave, or all of them if all want to.
std::vector<ring::Member> members_of(std::span<const KnView> views);

enum class Handing : uint8_t {
  kOn,   // hand-overs are begun and finished
  kOff,  // those under way are undone: their owners go on serving
};

/// The ring to write next, its version one higher; nothing if there is nothing to do now.
std::optional<ring::Ring> plan(const ring::Ring& ring, std::span<const KnView> views,
                               const ring::Owners& targets, Handing handing);

}  // namespace dinomo::cluster
