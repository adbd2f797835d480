// SPDX-License-Identifier: BSD-3-Clause
// The way of an operator to dinomo-dpm: its telemetry socket, on its machine. Who may write to that
// socket may steer the cluster; clients on the network cannot reach it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "common/file_descriptor.h"

namespace dinomo::cli {

class ControlSocket {
 public:
  /// To this socket, or if it is empty to that of the only dinomo-dpm on this machine. An exit
  /// status; says what is wrong.
  int open(const std::string& path);

  /// The answer; null: none in time, or the DPM knows no such command.
  nlohmann::json ask(const std::string& command, const std::string& parameter = "");

 private:
  /// Empty, or what is wrong.
  std::string connect(const std::string& path);
  bool is_dpm();

  FileDescriptor socket_;
};

}  // namespace dinomo::cli
