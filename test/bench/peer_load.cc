// SPDX-License-Identifier: BSD-3-Clause
// Load for the peers that Dinomo is measured beside: memcached (text protocol) and redis (RESP)
// over TCP, both at their best (multi-key GETs, pipelined) and one key a request. Prints one JSON
// line.
//
// One thread, non-blocking sockets, closed loop: `depth` requests of `keys_per_request` keys are on
// their way on each connection.
#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <deque>
#include <random>
#include <string>
#include <vector>

#include "telemetry/histogram.h"

namespace {

using Clock = std::chrono::steady_clock;

struct Setup {
  bool redis = false;
  std::string address = "127.0.0.1";
  uint16_t port = 0;
  uint64_t keys = 100'000;
  size_t value_bytes = 64;
  uint32_t connections = 1;
  uint32_t depth = 1;
  uint32_t keys_per_request = 1;
  double put_fraction = 0;
  double seconds = 2;
  bool load = false;
};

/// Connected socket with what was received and not consumed.
struct Connection {
  int fd = -1;
  std::string in;
  size_t consumed = 0;
  std::string out;
  struct Request {
    Clock::time_point sent;
    uint32_t keys;
    bool put;
  };
  std::deque<Request> requests;
  uint32_t values_seen = 0;  // of the request under way

  bool line(std::string_view* text) {
    const size_t end = in.find("\r\n", consumed);
    if (end == std::string::npos) return false;
    *text = std::string_view(in).substr(consumed, end - consumed);
    return true;
  }
};

int connect_to(const Setup& s) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(s.port);
  ::inet_pton(AF_INET, s.address.c_str(), &to.sin_addr);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) {
    std::fprintf(stderr, "peer_load: cannot connect to %s:%u: %s\n", s.address.c_str(), s.port,
                 std::strerror(errno));
    std::exit(1);
  }
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

class Load {
 public:
  explicit Load(const Setup& s) : s_(s), value_(s.value_bytes, 'v') {
    for (uint32_t i = 0; i < s.connections; ++i) connections_.emplace_back().fd = connect_to(s);
  }

  void fill() {
    for (uint64_t key = 0; key < s_.keys;) {
      Connection& c = connections_[0];
      while (c.requests.size() < 64 && key < s_.keys) put(c, key++);
      pump(c);
    }
    while (!connections_[0].requests.empty()) pump(connections_[0]);
  }

  void run() {
    const auto end = Clock::now() + std::chrono::duration<double>(s_.seconds);
    while (Clock::now() < end) {
      for (Connection& c : connections_) {
        while (c.requests.size() < s_.depth) next(c);
        pump(c);
      }
    }
  }

  uint64_t operations() const { return operations_; }
  uint64_t errors() const { return errors_; }
  const dinomo::telemetry::LatencyHistogram& latency() const { return latency_; }

 private:
  static std::string key_name(uint64_t key) { return fmt::format("{:08x}", key & 0xffff'ffff); }

  void next(Connection& c) {
    const bool is_put =
        s_.put_fraction > 0 && static_cast<double>(random_() % 10'000) < s_.put_fraction * 10'000;
    if (is_put) {
      put(c, random_() % s_.keys);
      return;
    }
    if (s_.redis) {
      c.out += fmt::format("*{}\r\n$4\r\nMGET\r\n", s_.keys_per_request + 1);
    } else {
      c.out += "get";
    }
    for (uint32_t i = 0; i < s_.keys_per_request; ++i) {
      const std::string key = key_name(random_() % s_.keys);
      c.out += s_.redis ? fmt::format("${}\r\n{}\r\n", key.size(), key) : " " + key;
    }
    if (!s_.redis) c.out += "\r\n";
    c.requests.push_back({Clock::now(), s_.keys_per_request, false});
  }

  void put(Connection& c, uint64_t number) {
    const std::string key = key_name(number);
    c.out += s_.redis ? fmt::format("*3\r\n$3\r\nSET\r\n${}\r\n{}\r\n${}\r\n{}\r\n", key.size(),
                                    key, value_.size(), value_)
                      : fmt::format("set {} 0 0 {}\r\n{}\r\n", key, value_.size(), value_);
    c.requests.push_back({Clock::now(), 1, true});
  }

  void pump(Connection& c) {
    if (!c.out.empty()) {
      const ssize_t n = ::send(c.fd, c.out.data(), c.out.size(), MSG_NOSIGNAL);
      if (n > 0) c.out.erase(0, static_cast<size_t>(n));
    }
    char buffer[65'536];
    const ssize_t n = ::recv(c.fd, buffer, sizeof buffer, 0);
    if (n == 0) {
      std::fprintf(stderr, "peer_load: the server closed the connection\n");
      std::exit(1);
    }
    if (n < 0) return;
    c.in.append(buffer, static_cast<size_t>(n));
    while (!c.requests.empty() && (s_.redis ? redis_reply(c) : memcached_reply(c))) {
    }
    c.in.erase(0, c.consumed);
    c.consumed = 0;
  }

  void finish(Connection& c) {
    const auto& r = c.requests.front();
    latency_.record(static_cast<uint64_t>((Clock::now() - r.sent).count()));
    operations_ += r.keys;
    c.requests.pop_front();
  }

  /// One line, or one value with its line; true if something was consumed.
  bool memcached_reply(Connection& c) {
    std::string_view line;
    if (!c.line(&line)) return false;
    if (line.starts_with("VALUE ")) {
      const size_t bytes = std::stoul(std::string(line.substr(line.rfind(' ') + 1)));
      const size_t whole = line.size() + 2 + bytes + 2;
      if (c.in.size() - c.consumed < whole) return false;
      c.consumed += whole;
      ++c.values_seen;
      return true;
    }
    const Connection::Request& r = c.requests.front();
    if (line != (r.put ? "STORED" : "END") || (!r.put && c.values_seen != r.keys)) ++errors_;
    c.values_seen = 0;
    c.consumed += line.size() + 2;
    finish(c);
    return true;
  }

  bool redis_reply(Connection& c) {
    std::string_view line;
    if (!c.line(&line)) return false;
    size_t whole = line.size() + 2;
    const bool in_array = !c.requests.front().put;
    if (line[0] == '$' && line != "$-1") {
      whole += std::stoul(std::string(line.substr(1))) + 2;
      if (c.in.size() - c.consumed < whole) return false;
    }
    if (line[0] == '-' || line == "$-1") ++errors_;  // every key was loaded
    c.consumed += whole;
    if (in_array && line[0] == '*') return true;
    if (in_array && ++c.values_seen < c.requests.front().keys) return true;
    c.values_seen = 0;
    finish(c);
    return true;
  }

  Setup s_;
  std::string value_;
  std::vector<Connection> connections_;
  std::mt19937_64 random_{7};
  uint64_t operations_ = 0;
  uint64_t errors_ = 0;
  dinomo::telemetry::LatencyHistogram latency_;
};

}  // namespace

int main(int argc, char** argv) {
  Setup s;
  std::string kind;
  CLI::App app("load for memcached and redis");
  app.add_option("kind", kind, "memcached or redis")
      ->required()
      ->check(CLI::IsMember({"memcached", "redis"}));
  app.add_option("--address", s.address);
  app.add_option("--port", s.port)->required();
  app.add_option("--keys", s.keys);
  app.add_option("--value-bytes", s.value_bytes);
  app.add_option("--connections", s.connections);
  app.add_option("--depth", s.depth, "requests in flight on a connection");
  app.add_option("--keys-per-request", s.keys_per_request);
  app.add_option("--put-fraction", s.put_fraction);
  app.add_option("--seconds", s.seconds);
  app.add_flag("--load", s.load, "store every key, then end");
  CLI11_PARSE(app, argc, argv);
  s.redis = kind == "redis";
  Load load(s);
  const auto began = Clock::now();
  if (s.load) {
    load.fill();
  } else {
    load.run();
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
  std::printf(
      "%s\n",
      fmt::format(
          R"({{"operations":{},"errors":{},"ops_per_s":{:.0f},"p50_us":{:.2f},"p99_us":{:.2f}}})",
          load.operations(), load.errors(), static_cast<double>(load.operations()) / seconds,
          static_cast<double>(load.latency().percentile_ns(50)) / 1e3,
          static_cast<double>(load.latency().percentile_ns(99)) / 1e3)
          .c_str());
  return load.errors() == 0 ? 0 : 1;
}
