// SPDX-License-Identifier: BSD-3-Clause
// memcached's protocol over UDP at one worker: requests from the ingress's shared port, replies in
// as many datagrams as they need.
//
//   - A request is one datagram, of one command or more, parsed by itself; what does not end in it
//     is an error. All its replies are one message: sequence 0 .. total - 1.
//   - Sources outside of the allowed networks get no answer: without cookies nothing else stops
//     somebody who claims another's address from having large replies sent there.
//   - There are no sessions: a request that is repeated is carried out again, as by memcached.
//
// Bounds, of a worker: kRequests under way, kChunks of reply text, kReplyFramesMax datagrams a
// reply. Beyond them a request is dropped (and counted), or answered SERVER_ERROR.
// Thread rule: the worker's lcore.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <vector>

#include "ingress/network_list.h"
#include "memcached/exchange.h"
#include "memcached/frame.h"

namespace dinomo::memcached {

/// Text of one reply datagram.
struct Chunk {
  Chunk* next = nullptr;
  size_t used = 0;
  std::array<std::byte, kFrameTextBytes> text;
};

class UdpServer;

/// A request under way, and the text of its reply.
class UdpRequest final : public Output {
 public:
  void append(Bytes text) noexcept override;

 private:
  friend class UdpServer;

  UdpServer* server_ = nullptr;
  Exchange exchange_;
  ingress::Datagram datagram_;
  uint16_t id_ = 0;
  bool queued_ = false;  // to be advanced in poll()
  bool overflowed_ = false;
  uint32_t chunks_ = 0;
  Chunk* first_ = nullptr;
  Chunk* last_ = nullptr;
  UdpRequest* next_ = nullptr;  // of the queue, or of the free ones
};

struct ServerConfig {
  ingress::NetworkList networks;  // whose requests are served
  std::string_view version;
  /// Writes what `stats` tells into the room; returns the bytes, 0 if they did not fit.
  std::function<size_t(char* out, size_t capacity)> stats;
};

class UdpServer final : public kn::Protocol, public Server {
 public:
  static constexpr uint32_t kRequests = 256;
  static constexpr uint32_t kChunks = 2048;
  static constexpr uint32_t kReplyFramesMax = 256;
  static constexpr uint32_t kSlots = 256;

  /// Allocates everything. Nothing is owned; `desk` gets the server as its protocol.
  UdpServer(ServerConfig config, kn::ErrandDesk* desk, ingress::Queue* queue);

  const Counters& counters() const noexcept { return counters_; }
  /// For tests: everything has been given back.
  bool at_rest() const noexcept;

  void take(const ingress::Datagram& datagram) noexcept override;
  uint32_t poll() noexcept override;
  bool waiting() const noexcept override { return queue_first_ != nullptr; }

  void on_progress(Exchange* exchange) noexcept override;
  void write_stats(std::string_view arguments, Output* out) noexcept override;

 private:
  friend class UdpRequest;

  void drop(const ingress::Datagram& datagram, Counter* why) noexcept;
  void run(UdpRequest* request, bool may_start) noexcept;
  void enqueue(UdpRequest* request) noexcept;
  void finish(UdpRequest* request) noexcept;
  void send(UdpRequest* request) noexcept;
  Chunk* take_chunk() noexcept;
  void give_chunks(UdpRequest* request) noexcept;

  ServerConfig config_;
  ingress::Queue* ingress_;
  Counters counters_;
  Slots slots_;
  Place place_;
  std::vector<UdpRequest> requests_;
  std::vector<Chunk> chunks_;
  UdpRequest* free_requests_ = nullptr;
  Chunk* free_chunks_ = nullptr;
  uint32_t requests_live_ = 0;
  uint32_t chunks_live_ = 0;
  UdpRequest* queue_first_ = nullptr;
  UdpRequest** queue_end_ = &queue_first_;
};

/// Answers `stats` with these arguments: the general ones by `general`; empty lists for those of
/// memcached's that have no meaning here.
void answer_stats(std::string_view arguments, Output* out,
                  const std::function<size_t(char* out, size_t capacity)>& general) noexcept;

}  // namespace dinomo::memcached
