// SPDX-License-Identifier: BSD-3-Clause
// `dinomo-cli cluster ...`: how an operator sees and steers the cluster, through the DPM. What is
// wanted is written into the pool and stays there; waiting for it can be given up and done again.
#pragma once

#include <chrono>

#include "settings.h"

namespace dinomo::cli {

int run_cluster_status(const Settings& s);
int run_cluster_ring(const Settings& s);
int run_cluster_leader(const Settings& s);
int run_cluster_drain(const Settings& s);
int run_cluster_add(const Settings& s);  // and undrain
int run_cluster_remove(const Settings& s);
int run_cluster_replicate(const Settings& s);
int run_cluster_dereplicate(const Settings& s);
int run_cluster_replicated(const Settings& s);
int run_cluster_pin(const Settings& s);
int run_cluster_unpin(const Settings& s);
int run_cluster_pinned(const Settings& s);

// Of those that wait for what they have asked for.
inline constexpr std::chrono::milliseconds kLookEvery{100};
int no_answer();
int still_waits(const Settings& s, const std::string& for_what);

}  // namespace dinomo::cli
