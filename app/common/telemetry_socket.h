// SPDX-License-Identifier: BSD-3-Clause
// DPDK's telemetry protocol (v2) for a program without an EAL: the same socket in the same place,
// RUNTIME/dpdk/PREFIX/dpdk_telemetry.v2, the same greeting and replies, so that whatever talks to
// DPDK programs talks to this one.
//
// RUNTIME is $RUNTIME_DIRECTORY (set by systemd), else /var/run for root, else $XDG_RUNTIME_DIR, or
// /tmp. Another process of the same prefix gets the next free name, ":1" and so on, as in DPDK.
//
// Owned by main. One thread of its own; at most kClientsMax clients, further ones are closed at
// once; one that does not read its answers loses its connection.
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "app/common/telemetry.h"

namespace dinomo::app {

class TelemetrySocket {
 public:
  static constexpr size_t kClientsMax = 16;

  /// Null: `why` says what is wrong and what to do. `observed` is not owned.
  static std::unique_ptr<TelemetrySocket> open(const std::string& prefix, Observed* observed,
                                               std::string* why);
  ~TelemetrySocket();
  TelemetrySocket(const TelemetrySocket&) = delete;
  TelemetrySocket& operator=(const TelemetrySocket&) = delete;

  const std::string& path() const noexcept { return path_; }

 private:
  TelemetrySocket() = default;
  bool listen(const std::string& folder, std::string* why);
  void run();
  void accept_one();
  bool serve(int client);

  Observed* observed_ = nullptr;
  std::string path_;
  int listener_ = -1;
  int stop_ = -1;  // eventfd
  std::vector<int> clients_;
  std::thread thread_;
};

/// Where DPDK programs of this user have their sockets, without prefix.
std::string telemetry_folder();
/// The reply to one message of a client, as it goes out.
std::string telemetry_reply(Observed& observed, std::string_view message);

}  // namespace dinomo::app
