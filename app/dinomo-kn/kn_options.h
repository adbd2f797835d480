// SPDX-License-Identifier: BSD-3-Clause
// Options of dinomo-kn, after the EAL's.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "app/common/fabric_choice.h"
#include "app/common/idle.h"
#include "app/common/log.h"
#include "app/common/options.h"
#include "cache/policy.h"
#include "cache/tuner.h"
#include "ingress/driver.h"

namespace dinomo::app {

struct KnOptions {
  // DPM
  FabricChoice fabric;
  std::string dpm;
  int kn_slot = -1;
  std::string name = "dinomo-kn";
  uint32_t lease_ms = 1000;
  uint32_t heartbeat_ms = 100;
  // clients
  std::string ingress = "ethdev";
  std::string port;
  std::string ip;
  std::string ip6;
  uint16_t udp_port = 11300;
  uint16_t mtu = 0;
  uint16_t rx_descriptors = 1024;
  uint16_t tx_descriptors = 1024;
  ingress::RxChecksum rx_checksum = ingress::RxChecksum::kAuto;
  std::string clients;
  uint32_t sessions_max = 1024;
  uint32_t session_window = 256;
  uint32_t session_idle_s = 600;
  uint32_t cookie_period_s = 600;
  uint32_t strangers_per_s = 1000;
  // memcached's protocol
  uint16_t memcached_port = 0;
  std::string memcached_networks;
  std::string memcached_tcp;
  // cache
  uint64_t cache_bytes = uint64_t{256} << 20;
  std::string cache_policy = "dac";
  cache::TunerConfig tuner;
  // writes
  uint32_t unmerged_segments_max = 2;
  uint32_t write_wait_us = 20'000;
  uint32_t queue_wait_us = 2000;
  uint32_t fetches_max = 128;
  // lcores
  IdleMode idle = IdleMode::kAdaptive;
  std::string stats_file;
  uint32_t slow_us = 100'000;
  uint32_t warm_s = 10;
  LogOptions log;
};

/// Binds every option to the table, with the checks that need more than one of them.
void add_kn_options(OptionTable& table, KnOptions* options);

}  // namespace dinomo::app
