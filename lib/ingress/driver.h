// SPDX-License-Identifier: BSD-3-Clause
// The Ingress seam, driver side: what a driver implements and how it makes itself known.
//
//   Driver::open(config)  -> Ingress (one per program and port; control thread)
//   Ingress::start()         the port receives from here on
//   Ingress::queue(worker)   one Queue per worker, used by that worker's lcore only
//   Ingress::wait_source(worker)  what that worker may block on while its queue is empty
//
// A driver is a file that defines one `const Driver` and names it with DINOMO_INGRESS_DRIVER.
// Programs list the drivers they want at link time (link_whole).
//
// Worker w is addressed by UDP port Config::base_port + w. Whatever the port delivers to another
// worker's receive queue is handed over in software, so steering is a matter of speed, never of
// correctness.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/status.h"
#include "ingress/ingress.h"
#include "ingress/responder.h"

namespace dinomo::ingress {

inline constexpr uint16_t kWorkersMax = 128;

/// Whether incoming checksums are computed in software.
enum class RxChecksum : uint8_t {
  kAuto,    // trust where a frame never crossed a wire (af_packet, af_xdp: kernel peers on veth
            // leave the checksum to be filled in later), verify elsewhere
  kVerify,  // always, unless the port vouches for the frame
  kTrust,   // never
};

struct Config {
  std::string port;  // ethdev: name or number; empty: the only or first one
  std::vector<LocalAddress> addresses;
  uint16_t base_port = 0;  // UDP port of worker 0, host order
  uint16_t workers = 1;    // 1..kWorkersMax
  // One more UDP port, none of the above; 0: none. Its datagrams belong to no worker: whichever
  // receives one keeps it.
  uint16_t shared_port = 0;
  uint16_t queues = 0;  // receive queues at most; 0: as many as workers and port allow
  uint16_t mtu = 0;     // bytes; 0: leave the port's
  uint16_t rx_descriptors = 1024;
  uint16_t tx_descriptors = 1024;
  uint32_t buffers = 0;            // packet buffers in all; 0: derived from the above
  uint32_t large_datagrams = 0;    // reassembled ones under way and held; 0: 128 a worker
  uint16_t handover_slots = 1024;  // datagrams that may wait for a worker; a power of two
  bool promiscuous = true;
  RxChecksum rx_checksum = RxChecksum::kAuto;
  bool ipv4_udp_checksum = true;  // false: send 0, which IPv4 permits
  uint32_t link_timeout_ms = 3000;
};

/// How a datagram finds its worker's lcore.
enum class Steering : uint8_t {
  kSingle,    // one worker: nothing to steer
  kHardware,  // flow rules by UDP port
  kRss,       // hashed over the receive queues, then handed over
  kSoftware,  // fewer receive queues than workers: handed over
};
const char* steering_name(Steering s) noexcept;

/// How an idle worker learns that a frame has come.
enum class WaitMethod : uint8_t {
  kNone,         // it must poll
  kRxInterrupt,  // the port's interrupt
  kSocket,       // the poll mode driver's own socket
};
const char* wait_method_name(WaitMethod m) noexcept;

/// What the port turned out to be. Fixed after start(), except link_up.
struct Capabilities {
  std::string port;    // as EAL names it
  std::string device;  // the poll mode driver
  MacAddress mac{};
  uint16_t rx_queues = 0;
  uint16_t tx_queues = 0;
  uint16_t mtu = 0;
  bool rx_checksum_offload = false;
  bool tx_checksum_offload = false;
  bool scattered_tx = false;  // takes frames of several buffers; not used (doc/performance.md)
  bool rx_checksum_verified = false;  // in software, where the port does not
  bool link_up = false;
  Steering steering = Steering::kSingle;
  std::string steering_why;  // with several workers: why it is not kHardware; for people
  WaitMethod wait = WaitMethod::kNone;
  uint32_t buffers = 0;

  /// Largest UDP payload that fits one frame.
  uint16_t payload_bytes_max(bool ipv6) const noexcept {
    return static_cast<uint16_t>(mtu - (ipv6 ? kIpv6UdpBytes : kIpv4UdpBytes));
  }
};

/// The port's own counters, since start().
struct PortCounters {
  uint64_t frames_in = 0;
  uint64_t frames_out = 0;
  uint64_t bytes_in = 0;
  uint64_t bytes_out = 0;
  uint64_t missed = 0;  // dropped by the port because nobody fetched them in time
  uint64_t errors_in = 0;
  uint64_t errors_out = 0;
  uint64_t no_buffer = 0;
};

/// What a worker may block on. Owner lcore only. Protocol, free of lost wake-ups:
///   if (arm()) { one more turn of the worker; if it found nothing: poll(descriptor, timeout) }
///   disarm();
/// The descriptor may be readable without cause, never unreadable with cause after arm().
class WaitSource {
 public:
  virtual ~WaitSource() = default;
  /// For poll() or epoll; -1 if there is nothing to wait for and the worker must look by itself.
  virtual int descriptor() const noexcept = 0;
  /// False if work is known to be pending: do not block.
  virtual bool arm() noexcept = 0;
  virtual void disarm() noexcept = 0;
};

class Ingress {
 public:
  virtual ~Ingress() = default;

  /// Blocks up to Config::link_timeout_ms. `why` gets a sentence on failure.
  virtual Status start(std::string* why) = 0;
  /// No worker may use its queue any more. Undelivered datagrams are dropped.
  virtual void stop() = 0;

  /// Valid from open to destruction; `worker` is below Config::workers.
  virtual Queue& queue(uint16_t worker) noexcept = 0;
  virtual WaitSource& wait_source(uint16_t worker) noexcept = 0;

  virtual const Capabilities& capabilities() const noexcept = 0;
  virtual const Endpoint& endpoint() const noexcept = 0;
  /// Any thread.
  virtual PortCounters port_counters() const noexcept = 0;
  /// Asks the port; any one thread.
  virtual bool link_up() noexcept = 0;
};

struct Driver {
  const char* name;  // as in the config: ingress = "ethdev"
  const char* help;
  /// Control thread. `why` gets a sentence on failure.
  Result<std::unique_ptr<Ingress>> (*open)(const Config& config, std::string* why);
};

/// kOk, or kInvalid with a sentence: what every driver demands of a configuration.
Status check_config(const Config& config, std::string* why);

/// Nullptr if there is no driver of that name in this program.
const Driver* find_driver(const std::string& name) noexcept;
std::span<const Driver* const> drivers() noexcept;

/// Called from a static initialiser; aborts with a message on a duplicate or incomplete driver.
bool register_driver(const Driver* driver) noexcept;

#define DINOMO_INGRESS_DRIVER(driver)                      \
  [[maybe_unused]] static const bool driver##_registered = \
      ::dinomo::ingress::register_driver(&(driver))

}  // namespace dinomo::ingress
