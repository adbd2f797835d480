// SPDX-License-Identifier: BSD-3-Clause
// How a KN and a DPM tell each other what their queue pairs need: fixed messages over TCP, one
// connection for a registration of a KN. Byte tables: doc/rdma.md. Little-endian.
//
//   KN   -> DPM  Hello      which slot it wants
//   KN   <- DPM  Welcome    the pool, its key, the slot; or why not
//   KN   -> DPM  Connect    one queue pair of the KN (also after it was reset)
//   KN   <- DPM  Connected  the DPM's end, ready to receive
// Connect and Connected are only for pairs that librdmacm does not connect (cm.h).
// The connection stays open as long as the KN is there; its end is the end of the KN's rights.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "common/file_descriptor.h"
#include "common/status.h"

namespace dinomo::fabric::rdma {

inline constexpr uint64_t kExchangeMagic = 0x3230'4144'524d'4e44;  // "DNMRDA02"
inline constexpr uint32_t kQueuePairsMax = 1024;                   // of one KN

enum class MessageKind : uint32_t { kHello = 1, kWelcome = 2, kConnect = 3, kConnected = 4 };

struct HelloMessage {
  uint64_t magic;
  uint32_t kind;
  int32_t kn_slot;  // -1: any free one
};
static_assert(sizeof(HelloMessage) == 16);

struct WelcomeMessage {
  uint64_t magic;
  uint32_t kind;
  uint32_t status;  // dinomo::Status
  uint16_t node_id;
  uint16_t kn_slot;
  uint32_t rkey;
  uint64_t remote_address;  // of pool offset 0
  uint64_t pool_bytes;
  uint64_t superblock_offset;
  uint64_t persistence;
  uint8_t uuid[16];
  uint64_t cm_token;  // for requests of the connection manager; 0: it is not offered
};
static_assert(sizeof(WelcomeMessage) == 80);

/// One end of a queue pair.
struct ConnectMessage {
  uint64_t magic;
  uint32_t kind;    // kConnect or kConnected
  uint32_t status;  // kConnected: dinomo::Status
  uint32_t number;  // of this pair among the KN's, from 0; a used number means: reset that pair
  uint32_t qpn;
  uint32_t psn;
  uint16_t lid;
  uint8_t mtu;        // ibv_mtu
  uint8_t rd_atomic;  // reads and atomics in flight that this end accepts
  uint8_t gid[16];
};
static_assert(sizeof(ConnectMessage) == 48);

struct HostPort {
  std::string host;
  std::string port;
};
/// "host:port" or "[v6]:port"; kInvalid otherwise.
Result<HostPort> parse_host_port(const std::string& text);

/// A listening or a connected TCP socket. `why` gets a sentence.
Result<FileDescriptor> listen_on(const std::string& address, std::string* why);
Result<FileDescriptor> connect_to(const std::string& address, uint32_t timeout_ms,
                                  std::string* why);

/// Small messages go out at once, and a vanished peer is found out in seconds.
void tune_socket(int socket) noexcept;

/// The socket shall count as readable only with so many bytes, or at its end.
void wake_for(int socket, size_t bytes) noexcept;

/// Whole messages or nothing: kTimeout, kUnreachable.
Status send_whole(int socket, const void* bytes, size_t size) noexcept;
Status receive_whole(int socket, void* bytes, size_t size, uint32_t timeout_ms) noexcept;

/// False when the other end closed or vanished. Never blocks.
bool still_there(int socket) noexcept;

}  // namespace dinomo::fabric::rdma
