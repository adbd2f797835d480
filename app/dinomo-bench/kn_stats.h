// SPDX-License-Identifier: BSD-3-Clause
// The KNs' own counters, by the STATS request, as differences over a phase.
//
// A STATS reply is a JSON object. Numbers are counters that only grow, except those under "gauges",
// which are levels; other values are ignored. Of several KNs the sums are taken. The fields that
// the report understands (each may be missing) are listed in kn_summary().
#pragma once

#include <nlohmann/json.hpp>

#include "client/blocking.h"

namespace dinomo::bench {

using json = nlohmann::ordered_json;

/// Sums over all KNs of the ring; null if any did not answer with JSON.
json fetch_kn_stats(client::Client* client);

/// after - before, field by field; levels as in `after`. Null if either is.
json kn_stats_delta(const json& before, const json& after);

/// What follows from a difference: shares of hits and misses, round trips per operation, batch
/// sizes, CPU per operation. Only what the fields allow.
json kn_summary(const json& delta);

}  // namespace dinomo::bench
