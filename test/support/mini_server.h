// SPDX-License-Identifier: BSD-3-Clause
// A small cluster of pretended KNs for tests of the client side: UDP sockets on 127.0.0.1, one per
// worker, one std::map for all, one thread. It speaks the client protocol strictly (cookies,
// windows, exactly-once mutations, owners) and can be told to misbehave.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "common/bytes.h"
#include "kn/operation.h"
#include "wire/codec.h"

namespace dinomo::test {

struct MiniOptions {
  uint32_t kns = 1;
  uint32_t workers = 1;
  uint32_t window = 1024;
  uint64_t seed = 1;
  uint16_t datagram_bytes_max = wire::kDatagramBytesMax;
};

/// Probabilities (0..1), drawn from the seed.
struct MiniFaults {
  double drop_request = 0;
  double drop_reply = 0;       // of a datagram of replies
  double duplicate_reply = 0;  // the datagram is sent twice
  double delay_reply = 0;      // the datagram is sent delay_ms later, so it is overtaken
  uint32_t delay_ms = 5;
  double busy = 0;    // a request is declined with BUSY
  double moving = 0;  // likewise
  double no_session = 0;
  // Lies about values, each for this share of the GETs:
  double corrupt = 0;     // one byte changed
  double stale = 0;       // the value before the newest, once there is one
  double foreign = 0;     // the value of another key
  double forget = 0;      // NOT_FOUND for a key that is there
  double lose_put = 0;    // a PUT is acknowledged and not stored
  double silent_get = 0;  // share of the keys whose GETs are never answered
};

struct MiniCounts {
  uint64_t datagrams_in = 0;
  uint64_t requests = 0;
  uint64_t gets = 0;
  uint64_t hellos = 0;
  uint64_t rings = 0;
  uint64_t applied = 0;   // mutations carried out
  uint64_t repeated = 0;  // mutations answered from their record
  uint64_t unmarked = 0;  // of these, not marked as repeated by the client
  uint64_t marked = 0;    // carried out, and marked
  uint64_t window_violations = 0;
  uint64_t misrouted = 0;  // right KN, wrong worker
  uint64_t malformed = 0;
  uint64_t requests_in_largest_datagram = 0;
  uint64_t largest_datagram_bytes = 0;
  uint64_t busy_ns = 0;  // CPU of the server's thread
};

class MiniServer {
 public:
  explicit MiniServer(const MiniOptions& options = {});
  ~MiniServer();
  MiniServer(const MiniServer&) = delete;
  MiniServer& operator=(const MiniServer&) = delete;

  uint16_t port(uint32_t kn = 0) const { return ports_[kn]; }
  std::string address(uint32_t kn = 0) const { return "127.0.0.1:" + std::to_string(ports_[kn]); }

  void set_faults(const MiniFaults& faults);
  MiniCounts counts();
  /// Hands a partition to another KN and raises the ring version.
  void move_partition(uint32_t partition, uint16_t kn);
  void move_all(uint16_t kn);
  /// What a restart of the KNs does: cookies are void. With `sessions`, sessions are forgotten too.
  void restart(bool sessions);
  /// The next `n` keyed requests are declined with this status.
  void decline_next(wire::Status status, uint32_t n, uint32_t retry_us);
  /// Stops answering anything (the sockets stay open).
  void mute(bool on);

  void store(const std::string& key, const std::string& value);
  std::string load(const std::string& key);  // "" if absent
  size_t size();

 private:
  struct Item {
    std::string value;
    std::string before;
    uint32_t flags = 0;
    uint64_t version = 0;
    uint64_t expiry_ms = 0;
  };
  struct Outcome {
    wire::Status status;
    uint64_t version = 0;
    std::string value = {};
    wire::ItemExtras item = {};  // GET_AND_TOUCH
  };
  struct Session {
    std::map<uint64_t, Outcome> outcomes;
    uint64_t newest = 0;
  };
  struct Socket {
    int fd;
    uint16_t kn;
    uint16_t worker;
  };
  struct Delayed {
    uint64_t due_ns;
    int fd;
    std::vector<std::byte> peer;
    std::vector<std::byte> bytes;
  };
  struct Reply {
    wire::MessageHeader header{};
    std::vector<std::byte> extras;
    std::string value;
  };

  void run();
  void serve(const Socket& socket, Bytes datagram, Bytes peer);
  bool answer(const Socket& socket, const wire::DatagramHeader& h, const wire::Message& m,
              Reply* out);
  bool declined(const Socket& socket, const wire::Message& m, Reply* out);
  void hello(const Socket& socket, const wire::DatagramHeader& h, Reply* out);
  void ring_page(const wire::Message& m, Reply* out);
  void get(const wire::Message& m, Reply* out);
  void mutate(const wire::DatagramHeader& h, const wire::Message& m, Reply* out);
  Outcome apply(const wire::Message& m);
  Outcome change(const kn::Operation& op, const kn::Decision& decision);
  void drop_expired(const std::string& key);
  void decline(wire::Status status, uint32_t retry_us, Reply* out);
  void send(int fd, Bytes peer, std::vector<std::byte> bytes);
  void send_delayed(uint64_t now_ns);
  bool chance(double p);
  std::string stats_json() const;

  const MiniOptions options_;
  std::vector<Socket> sockets_;
  std::vector<uint16_t> ports_;
  std::mutex mutex_;  // everything below
  std::mt19937_64 random_;
  MiniFaults faults_;
  MiniCounts counts_;
  std::map<std::string, Item, std::less<>> items_;
  std::map<uint64_t, Session> sessions_;
  uint64_t next_session_ = 100;
  uint64_t secret_ = 0x1234'5678;
  uint64_t version_ = 0;
  uint32_t ring_version_ = 1;
  std::array<uint16_t, 4096> owner_{};
  std::deque<Delayed> delayed_;
  wire::Status decline_status_ = wire::Status::kOk;
  uint32_t decline_left_ = 0;
  uint32_t decline_us_ = 0;
  bool muted_ = false;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace dinomo::test
