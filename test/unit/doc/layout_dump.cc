// SPDX-License-Identifier: BSD-3-Clause
// Prints, as JSON, the layout of every struct that doc/formats.md and doc/protocol.md describe, and
// the example datagrams. check_formats.py compares.
#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "app/common/key_stream.h"
#include "drivers/fabric/rdma/cm.h"
#include "drivers/fabric/rdma/exchange.h"
#include "index/format.h"
#include "log/format.h"
#include "pool/address.h"
#include "pool/format.h"
#include "wire/codec.h"

namespace {

bool first_struct = true;
bool first_field = true;

void begin(const char* name, size_t bytes) {
  std::printf("%s\n\"%s\": {\"bytes\": %zu, \"fields\": {", first_struct ? "" : "}},", name, bytes);
  first_struct = false;
  first_field = true;
}

void field(const char* name, size_t offset, size_t bytes) {
  std::printf("%s\"%s\": [%zu, %zu]", first_field ? "" : ", ", name, offset, bytes);
  first_field = false;
}

#define STRUCT(type)      \
  using S = dinomo::type; \
  begin(#type, sizeof(S));
#define FIELD(name) field(#name, offsetof(S, name), sizeof(S::name))

void pool_structs() {
  {
    STRUCT(pool::Superblock)
    FIELD(magic);
    FIELD(format_version);
    FIELD(superblock_bytes);
    FIELD(uuid);
    FIELD(node_id);
    FIELD(kn_slots);
    FIELD(workers_per_kn);
    FIELD(mailbox_cells);
    FIELD(pool_bytes);
    FIELD(segment_bytes);
    FIELD(hash_seed);
    FIELD(created_unix_ms);
    FIELD(state_offset);
    FIELD(index_root_offset);
    FIELD(leader_offset);
    FIELD(directory_offset);
    FIELD(logs_offset);
    FIELD(mailboxes_offset);
    FIELD(ring_offset);
    FIELD(sessions_offset);
    FIELD(session_count);
    FIELD(session_window);
    FIELD(key_bytes_max);
    FIELD(value_bytes_max);
    FIELD(reserved);
    FIELD(checksum);
  }
  {
    STRUCT(pool::PoolState)
    FIELD(boot_count);
    FIELD(clean_shutdown);
    FIELD(heartbeat);
    FIELD(persistence);
    FIELD(cells_offset);
    FIELD(cells_version);
    FIELD(pins_offset);
    FIELD(pins_version);
  }
  {
    STRUCT(pool::IndexRoot)
    FIELD(current);
    FIELD(next);
    FIELD(buckets_min);
    FIELD(reserved);
  }
  {
    STRUCT(pool::LeaderLease)
    FIELD(holder);
    FIELD(renewals);
    FIELD(reserved);
  }
  {
    STRUCT(pool::KnSlot)
    FIELD(state);
    FIELD(incarnation);
    FIELD(registered_unix_ms);
    FIELD(reserved0);
    FIELD(heartbeat);
    FIELD(heartbeat_incarnation);
    FIELD(heartbeat_flags);
    FIELD(ring_version_seen);
    FIELD(lease_us);
    FIELD(weight);
    FIELD(reserved1);
    FIELD(address);
    FIELD(udp_port_base);
    FIELD(workers);
    FIELD(ended_incarnation);
    FIELD(name);
    FIELD(wanted);
    FIELD(reserved3);
  }
  {
    STRUCT(pool::LogRecord)
    FIELD(tail_lsn);
    FIELD(tail_sequence);
    FIELD(tail_bytes);
    FIELD(tail_incarnation);
    FIELD(reserved_tail);
    FIELD(reserved0);
    FIELD(merged_lsn);
    FIELD(granted_sequence);
    FIELD(merged_sequence);
    FIELD(incarnation);
    FIELD(sealed);
    FIELD(reserved1);
  }
  {
    STRUCT(pool::PinTable)
    FIELD(target);
  }
  {
    STRUCT(pool::ReplicatedKey)
    FIELD(routing_hash);
    FIELD(cell);
    FIELD(owner_count);
    FIELD(owners);
    FIELD(reserved);
  }
  {
    STRUCT(pool::RingRecord)
    FIELD(version);
    FIELD(checksum);
    FIELD(state);
    FIELD(replicated_count);
    FIELD(leader);
    FIELD(reserved);
    FIELD(owner);
    FIELD(partition_flags);
    FIELD(replicated);
    FIELD(incarnation);
    FIELD(reserved_tail);
  }
  {
    STRUCT(pool::OutcomeCell)
    FIELD(sequence);
    FIELD(version);
    FIELD(result);
    FIELD(status);
    FIELD(opcode);
    FIELD(reserved);
    FIELD(check);
  }
  {
    STRUCT(pool::SessionRecord)
    FIELD(session);
    FIELD(sequence_floor);
    FIELD(active_unix_ms);
    FIELD(created_unix_ms);
    FIELD(horizon_ms);
    FIELD(flags);
    FIELD(reserved);
    FIELD(checksum);
  }
  {
    STRUCT(pool::MailboxLine)
    FIELD(checksum);
    FIELD(sequence);
    FIELD(incarnation);
    FIELD(opcode);
    FIELD(status);
    FIELD(args);
  }
  {
    STRUCT(pool::MailboxCell)
    FIELD(request);
    FIELD(reply);
  }
  {
    STRUCT(pool::SegmentHeader)
    FIELD(magic);
    FIELD(generation);
    FIELD(log_id);
    FIELD(kind);
    FIELD(sequence);
    FIELD(incarnation);
    FIELD(reserved_grant);
    FIELD(granted_unix_ms);
    FIELD(reserved0);
    FIELD(checksum);
    FIELD(state);
    FIELD(reserved_state);
    FIELD(end_bytes);
    FIELD(last_lsn);
    FIELD(reserved1);
  }
  {
    STRUCT(pool::IndirectionCell)
    FIELD(address);
    FIELD(key_hash);
    FIELD(generation);
    FIELD(routing_hash);
    FIELD(kns_wanted);
    FIELD(reserved);
    FIELD(checksum);
  }
}

void log_and_index_structs() {
  {
    STRUCT(log::EntryHeader)
    FIELD(checksum);
    FIELD(lsn);
    FIELD(generation);
    FIELD(log_id);
    FIELD(op);
    FIELD(flags);
    FIELD(key_bytes);
    FIELD(outcome);
    FIELD(value_bytes);
    FIELD(item_flags);
    FIELD(session);
    FIELD(sequence);
    FIELD(expiry_ms);
  }
  {
    STRUCT(index::Slot)
    FIELD(hash);
    FIELD(address);
  }
  {
    STRUCT(index::Bucket)
    FIELD(header);
    FIELD(slots);
    FIELD(next);
  }
}

void wire_structs() {
  {
    STRUCT(wire::DatagramHeader)
    FIELD(magic);
    FIELD(version);
    FIELD(kind);
    FIELD(messages);
    FIELD(flags);
    FIELD(session);
    FIELD(cookie);
    FIELD(ring_version);
    FIELD(stamp);
  }
  {
    STRUCT(wire::MessageHeader)
    FIELD(opcode);
    FIELD(status);
    FIELD(flags);
    FIELD(key_bytes);
    FIELD(value_bytes);
    FIELD(extra_bytes);
    FIELD(sequence);
  }
  {
    STRUCT(wire::PutExtras)
    FIELD(ttl_ms);
    FIELD(item_flags);
    FIELD(reserved);
  }
  {
    STRUCT(wire::CasExtras)
    FIELD(version);
    FIELD(put);
  }
  {
    STRUCT(wire::CounterExtras)
    FIELD(delta);
    FIELD(initial);
    FIELD(ttl_ms);
    FIELD(create);
    FIELD(reserved);
  }
  {
    STRUCT(wire::TouchExtras)
    FIELD(ttl_ms);
  }
  {
    STRUCT(wire::RingExtras)
    FIELD(first_kn);
    FIELD(first_partition);
    FIELD(first_replicated);
    FIELD(reserved);
  }
  {
    STRUCT(wire::HelloExtras)
    FIELD(window);
    FIELD(reserved);
    FIELD(token);
  }
  {
    STRUCT(wire::ItemExtras)
    FIELD(version);
    FIELD(expiry_ms);
    FIELD(item_flags);
    FIELD(reserved);
  }
  {
    STRUCT(wire::VersionExtras)
    FIELD(version);
  }
  {
    STRUCT(wire::HintExtras)
    FIELD(retry_us);
    FIELD(kn_slot);
    FIELD(worker);
  }
  {
    STRUCT(wire::HelloReply)
    FIELD(session);
    FIELD(cookie);
    FIELD(token);
    FIELD(window);
    FIELD(ring_version);
    FIELD(key_bytes_max);
    FIELD(reserved0);
    FIELD(value_bytes_max);
    FIELD(session_idle_ms);
    FIELD(datagram_bytes_max);
    FIELD(kn_slot);
    FIELD(server_unix_ms);
    FIELD(cookie_ms);
    FIELD(reserved1);
  }
  {
    STRUCT(wire::RingPage)
    FIELD(ring_version);
    FIELD(kn_total);
    FIELD(first_kn);
    FIELD(kn_count);
    FIELD(first_partition);
    FIELD(partition_count);
    FIELD(replicated_total);
  }
  {
    STRUCT(wire::ReplicatedRecord)
    FIELD(routing_hash);
    FIELD(number);
    FIELD(owner_count);
    FIELD(owners);
    FIELD(reserved);
  }
  {
    STRUCT(wire::KnRecord)
    FIELD(address);
    FIELD(kn_slot);
    FIELD(udp_port_base);
    FIELD(workers);
    FIELD(state);
  }
}

using dinomo::as_bytes;
using dinomo::Bytes;
namespace wire = dinomo::wire;

void example(const char* name, const wire::DatagramHeader& header,
             const wire::MessageHeader& message, Bytes extras, std::string_view key,
             std::string_view value, bool last = false) {
  alignas(8) std::array<std::byte, wire::kDatagramBytesMax> room;
  wire::Writer writer(room, header);
  if (!writer.append(message, extras, as_bytes(key), as_bytes(value))) std::abort();
  std::printf("\"%s\": \"", name);
  for (const std::byte b : writer.finish()) std::printf("%02x", std::to_integer<unsigned>(b));
  std::printf("\"%s\n", last ? "" : ",");
}

wire::DatagramHeader header_of(wire::Kind kind, uint64_t session) {
  wire::DatagramHeader h{};
  h.magic = wire::kMagic;
  h.version = wire::kVersion;
  h.kind = static_cast<uint8_t>(kind);
  h.session = session;
  h.stamp = 77;
  return h;
}

void rdma_structs() {
  {
    STRUCT(fabric::rdma::HelloMessage)
    FIELD(magic);
    FIELD(kind);
    FIELD(kn_slot);
  }
  {
    STRUCT(fabric::rdma::WelcomeMessage)
    FIELD(magic);
    FIELD(kind);
    FIELD(status);
    FIELD(node_id);
    FIELD(kn_slot);
    FIELD(rkey);
    FIELD(remote_address);
    FIELD(pool_bytes);
    FIELD(superblock_offset);
    FIELD(persistence);
    FIELD(uuid);
    FIELD(cm_token);
  }
  {
    STRUCT(fabric::rdma::CmHello)
    FIELD(magic);
    FIELD(token);
    FIELD(number);
    FIELD(reserved);
  }
  {
    STRUCT(fabric::rdma::ConnectMessage)
    FIELD(magic);
    FIELD(kind);
    FIELD(status);
    FIELD(number);
    FIELD(qpn);
    FIELD(psn);
    FIELD(lid);
    FIELD(mtu);
    FIELD(rd_atomic);
    FIELD(gid);
  }
}

wire::MessageHeader message_of(wire::Opcode opcode, uint64_t sequence) {
  wire::MessageHeader m{};
  m.opcode = static_cast<uint8_t>(opcode);
  m.sequence = sequence;
  return m;
}

void examples() {
  constexpr uint64_t kSession = 0x0123456789abcdef;
  const wire::HelloExtras hello{64, 0, 0};
  example("HELLO, request", header_of(wire::Kind::kRequest, 0), message_of(wire::Opcode::kHello, 1),
          dinomo::object_bytes(hello), "", std::string(64, '\0'));
  wire::DatagramHeader request = header_of(wire::Kind::kRequest, kSession);
  request.cookie = 0xfedcba9876543210;
  request.ring_version = 5;
  example("PUT colour = blue, request", request, message_of(wire::Opcode::kPut, 1), {}, "colour",
          "blue");
  wire::DatagramHeader reply = header_of(wire::Kind::kReply, kSession);
  reply.ring_version = 5;
  const wire::VersionExtras version{dinomo::log::item_version(3, 42)};
  example("PUT, reply", reply, message_of(wire::Opcode::kPut, 1), dinomo::object_bytes(version), "",
          "");
  example("GET colour, request", request, message_of(wire::Opcode::kGet, 2), {}, "colour", "");
  example("GET, reply", reply, message_of(wire::Opcode::kGet, 2), {}, "", "blue", true);
}

void stream_structs() {
  {
    STRUCT(app::KeyStreamHeader)
    FIELD(magic);
    FIELD(format_version);
    FIELD(header_bytes);
    FIELD(record_bytes);
    FIELD(reserved);
    FIELD(created_unix_ms);
    FIELD(records);
    FIELD(checksum);
  }
  {
    STRUCT(app::KeyStreamRecord)
    FIELD(key_hash);
    FIELD(value_bytes);
    FIELD(key_bytes);
    FIELD(op);
    FIELD(flags);
    FIELD(reserved);
  }
}

}  // namespace

int main() {
  std::printf("{\"structs\": {");
  pool_structs();
  log_and_index_structs();
  wire_structs();
  rdma_structs();
  stream_structs();
  std::printf("}}},\n\"examples\": {\n");
  examples();
  std::printf("}}\n");
  return 0;
}
