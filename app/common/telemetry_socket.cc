// SPDX-License-Identifier: BSD-3-Clause
#include "app/common/telemetry_socket.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "app/common/build_info.h"

namespace dinomo::app {

namespace {

using nlohmann::json;

constexpr size_t kReplyBytesMax = 16384;  // what clients of the protocol have room for
constexpr int kNamesMax = 64;

json greeting() {
  return {{"version", "dinomo " + std::string(build_info().version)},
          {"pid", static_cast<uint64_t>(::getpid())},
          {"max_output_len", kReplyBytesMax}};
}

bool somebody_listens(const sockaddr_un& address) {
  const int probe = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (probe < 0) return true;  // not known: a living socket must not be taken away
  const bool answered =
      ::connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  ::close(probe);
  return answered;
}

bool keep_others_out(const std::string& path) {
  struct stat found{};
  return ::stat(path.c_str(), &found) == 0 && ::chmod(path.c_str(), found.st_mode & 0770) == 0;
}

json builtin(const Observed& observed, std::string_view command, std::string_view parameter) {
  if (command == "/info") return greeting();
  if (command != "/" && command != "/help") return nullptr;
  std::vector<TelemetryCommand> known = telemetry_commands();
  const std::vector<TelemetryCommand> own = observed.own_commands();
  known.insert(known.end(), own.begin(), own.end());
  json names = {"/", "/help", "/info"};
  for (const TelemetryCommand& c : known) {
    if (command == "/help" && parameter == c.name) return {{c.name, c.help}};
    names.push_back(c.name);
  }
  if (command == "/") return names;
  return nullptr;
}

}  // namespace

std::string telemetry_folder() {
  const char* runtime = std::getenv("RUNTIME_DIRECTORY");
  if (runtime == nullptr && ::getuid() == 0) runtime = "/var/run";
  if (runtime == nullptr) runtime = std::getenv("XDG_RUNTIME_DIR");
  return std::string(runtime != nullptr ? runtime : "/tmp") + "/dpdk";
}

std::string telemetry_reply(Observed& observed, std::string_view message) {
  const size_t comma = message.find(',');
  const std::string command(message.substr(0, comma));
  const std::string_view parameter =
      comma == std::string_view::npos ? std::string_view() : message.substr(comma + 1);
  json answer = builtin(observed, command, parameter);
  if (answer.is_null()) answer = answer_telemetry(observed, command, parameter);
  if (answer.is_null()) answer = observed.answer_own(command, parameter);
  // What came may be no text at all.
  const auto replace = json::error_handler_t::replace;
  std::string reply = json({{command, answer}}).dump(-1, ' ', false, replace);
  if (reply.size() < kReplyBytesMax) return reply;
  return json({{command.substr(0, 64), nullptr}}).dump(-1, ' ', false, replace);
}

std::unique_ptr<TelemetrySocket> TelemetrySocket::open(const std::string& prefix,
                                                       Observed* observed, std::string* why) {
  std::unique_ptr<TelemetrySocket> socket(new TelemetrySocket());
  socket->observed_ = observed;
  if (!socket->listen(telemetry_folder() + "/" + prefix, why)) return nullptr;
  socket->thread_ = std::thread([s = socket.get()] { s->run(); });
  pthread_setname_np(socket->thread_.native_handle(), "telemetry");
  return socket;
}

TelemetrySocket::~TelemetrySocket() {
  if (thread_.joinable()) {
    eventfd_write(stop_, 1);
    thread_.join();
  }
  for (const int c : clients_) ::close(c);
  if (listener_ >= 0) {
    ::close(listener_);
    ::unlink(path_.c_str());
  }
  if (stop_ >= 0) ::close(stop_);
}

bool TelemetrySocket::listen(const std::string& folder, std::string* why) {
  std::error_code wrong;
  std::filesystem::create_directories(folder, wrong);
  stop_ = ::eventfd(0, EFD_CLOEXEC);
  const int listener = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  for (int n = 0; n < kNamesMax && listener >= 0; ++n) {
    const std::string path =
        folder + "/dpdk_telemetry.v2" + (n == 0 ? "" : ":" + std::to_string(n));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
      errno = ENAMETOOLONG;
      break;
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    const auto bind_it = [&] {
      return ::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    };
    bool bound = bind_it();
    if (!bound && errno != EADDRINUSE) break;
    if (!bound && somebody_listens(address)) continue;
    if (!bound) {  // left behind by a crash
      ::unlink(path.c_str());
      bound = bind_it();
    }
    // It steers the cluster, too: whatever the umask says, not for everybody.
    if (!bound || !keep_others_out(path) || ::listen(listener, 4) != 0) break;
    listener_ = listener;
    path_ = path;
    return true;
  }
  *why = "no telemetry socket in " + folder + ": " + std::strerror(errno) +
         "; set RUNTIME_DIRECTORY to a folder that may be written to, or use --telemetry=off";
  if (listener >= 0) ::close(listener);
  return false;
}

void TelemetrySocket::run() {
  for (;;) {
    std::vector<pollfd> watched = {{stop_, POLLIN, 0}, {listener_, POLLIN, 0}};
    for (const int c : clients_) watched.push_back({c, POLLIN, 0});
    if (::poll(watched.data(), watched.size(), -1) < 0 && errno != EINTR) return;
    if (watched[0].revents != 0) return;
    std::vector<int> kept;
    for (size_t i = 2; i < watched.size(); ++i) {
      if (watched[i].revents == 0 || serve(watched[i].fd)) {
        kept.push_back(watched[i].fd);
      } else {
        ::close(watched[i].fd);
      }
    }
    clients_ = std::move(kept);
    if (watched[1].revents != 0) accept_one();
  }
}

void TelemetrySocket::accept_one() {
  const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  if (client < 0) return;
  const std::string hello = greeting().dump();
  if (clients_.size() >= kClientsMax ||
      ::send(client, hello.data(), hello.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
    ::close(client);
    return;
  }
  clients_.push_back(client);
}

/// False: the client is gone, or does not read.
bool TelemetrySocket::serve(int client) {
  std::array<char, 1024> message;
  const ssize_t got = ::recv(client, message.data(), message.size(), MSG_DONTWAIT);
  if (got <= 0) return got < 0 && (errno == EAGAIN || errno == EINTR);
  const std::string reply =
      telemetry_reply(*observed_, std::string_view(message.data(), static_cast<size_t>(got)));
  return ::send(client, reply.data(), reply.size(), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

}  // namespace dinomo::app
