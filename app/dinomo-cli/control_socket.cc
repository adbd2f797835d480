// SPDX-License-Identifier: BSD-3-Clause
#include "control_socket.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <vector>

#include "settings.h"

namespace dinomo::cli {

namespace {

using nlohmann::json;

constexpr size_t kReplyBytesMax = 16384;
constexpr time_t kPatienceS = 3;
constexpr const char* kSocketName = "dpdk_telemetry.v2";

/// Where sockets may be: of systemd's services (a folder each), of root, and of this user.
std::vector<std::string> folders() {
  std::vector<std::string> found;
  std::error_code wrong;
  for (const auto& service : std::filesystem::directory_iterator("/run", wrong)) {
    if (service.path().filename().string().starts_with("dinomo")) found.push_back(service.path());
  }
  found.emplace_back("/var/run");
  found.emplace_back("/tmp");
  for (const char* name : {"RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"}) {
    const char* const folder = std::getenv(name);
    if (folder != nullptr && std::ranges::find(found, folder) == found.end())
      found.emplace_back(folder);
  }
  return found;
}

std::vector<std::string> candidates() {
  std::vector<std::string> found;
  for (const std::string& folder : folders()) {
    std::error_code wrong;
    for (const auto& prefix : std::filesystem::directory_iterator(folder + "/dpdk", wrong)) {
      for (const auto& file : std::filesystem::directory_iterator(prefix.path(), wrong)) {
        if (file.path().filename().string().starts_with(kSocketName)) {
          found.push_back(file.path().string());
        }
      }
    }
  }
  return found;
}

}  // namespace

std::string ControlSocket::connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return "its path is too long for a socket";
  std::memcpy(address.sun_path, path.data(), path.size());
  socket_ = FileDescriptor(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const timeval patience{kPatienceS, 0};
  std::string greeting(kReplyBytesMax, '\0');
  if (!socket_ ||
      ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 ||
      ::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::recv(socket_.get(), greeting.data(), greeting.size(), 0) <= 0) {
    return std::strerror(errno);
  }
  return "";
}

nlohmann::json ControlSocket::ask(const std::string& command, const std::string& parameter) {
  const std::string message = parameter.empty() ? command : command + "," + parameter;
  if (!socket_ || ::send(socket_.get(), message.data(), message.size(), MSG_NOSIGNAL) < 0) {
    return nullptr;
  }
  std::string reply(kReplyBytesMax, '\0');
  const ssize_t got = ::recv(socket_.get(), reply.data(), reply.size(), 0);
  if (got <= 0) return nullptr;
  reply.resize(static_cast<size_t>(got));
  const json answer = json::parse(reply, nullptr, false);
  if (!answer.is_object() || !answer.contains(command)) return nullptr;
  return answer[command];
}

bool ControlSocket::is_dpm() {
  const json info = ask("/dinomo/info");
  return info.is_object() && info.value("program", "") == "dinomo-dpm";
}

int ControlSocket::open(const std::string& path) {
  if (!path.empty()) {
    const std::string why = connect(path);
    if (!why.empty()) return complain(kUnreachable, fmt::format("--control {}: {}", path, why));
    if (is_dpm()) return kOk;
    return complain(kUsage, fmt::format("--control {}: no dinomo-dpm answers there", path));
  }
  std::vector<std::string> dpms;
  bool denied = false;
  for (const std::string& candidate : candidates()) {
    const bool connected = connect(candidate).empty();
    denied = denied || (!connected && errno == EACCES);
    if (connected && is_dpm()) dpms.push_back(candidate);
  }
  if (dpms.size() == 1) return connect(dpms[0]).empty() ? kOk : open(dpms[0]);
  if (dpms.empty()) {
    return complain(kUnreachable,
                    denied ? "the telemetry socket here is another user's: run it as that user or "
                             "as root"
                           : "no dinomo-dpm with a telemetry socket runs on this machine: run it "
                             "where dinomo-dpm runs, or name the socket by --control");
  }
  std::string names;
  for (const std::string& dpm : dpms) names += "\n  --control " + dpm;
  return complain(kUsage, "several dinomo-dpm run here; choose one:" + names);
}

}  // namespace dinomo::cli
